import pytest

from avatar.turntaking.endpointing import Ending, classify, decide


def first(probability: float, text: str, **more: int) -> bool:
    return decide(probability, text, **{"voiced_ms": 1500, "silence_ms": 160, "patience_ms": 1000, **more}).sure


@pytest.mark.parametrize(
    "text",
    [
        "And so my fellow Americans.",
        "What is the",
        "I want to go to",
        "I think that because",
        "Welcome to Moonshine,",
        "Tell me about my",
        "I would like to ask",
        "Well, so, um",
        "我想去北京和",
        "因為我覺得這個",
        "如果明天下雨，但是",
        "我想問你一些問題關於",
    ],
)
def test_a_sentence_that_cannot_end_there_waits(text: str) -> None:
    assert not first(0.99, text)
    assert not first(0.99, text, silence_ms=480)


@pytest.mark.parametrize(
    "text",
    [
        "What is the weather in Paris?",
        "Who would win in a fight, a bear or a shark?",
        "It was the winter of despair.",
        "And you?",
        "Yes.",
        "Where are you from?",
        "今天天氣怎麼樣",
        "希望你以后能够做的比我还好呦。",
        "是的",
    ],
)
def test_a_whole_sentence_is_answered_at_once(text: str) -> None:
    assert first(0.95, text)


@pytest.mark.parametrize("text", ["Welcome.", "So", "Well,", "對", "嗯"])
def test_one_word_that_may_only_begin_waits(text: str) -> None:
    assert not first(0.95, text, voiced_ms=600)


def test_greetings_need_little_of_the_sound() -> None:
    assert first(0.06, "Hello world.") and first(0.06, "你好") and first(0.06, "再見")
    assert not first(0.06, "The red one.")


def test_a_question_needs_less_than_a_statement() -> None:
    assert first(0.35, "Do you hear me?") and not first(0.35, "I hear you.")


def test_two_words_of_too_little_voice_wait() -> None:
    assert not first(0.9, "The way.", voiced_ms=380)
    assert first(0.9, "The way.", voiced_ms=700)
    assert first(0.9, "Yes.", voiced_ms=300)


def test_without_words_the_sound_must_be_clear() -> None:
    assert classify("?!")[0] is Ending.NO_WORDS
    assert first(0.8, "") and not first(0.6, "")


def test_who_paused_long_before_gets_more_certainty() -> None:
    assert first(0.6, "I like it very much.")
    assert not first(0.6, "I like it very much.", longest_pause_ms=1000)


def waited(probability: float, text: str, **more: int) -> int:
    decision = decide(probability, text, **{"voiced_ms": 1500, "silence_ms": 160, "patience_ms": 1000, **more})
    assert not decision.sure
    return decision.wait_ms


def test_the_nearer_to_certain_the_shorter_the_wait() -> None:
    assert waited(0.49, "I like it.") < waited(0.2, "I like it.") < waited(0.0, "I like it.") <= 1000
    assert waited(0.49, "I like it.") < 600
    assert waited(0.99, "I would like to ask") == waited(0.0, "What is the") == 1000  # no sound ends such words


def test_waits_longer_than_the_pauses_after_which_the_user_went_on_but_never_longer_than_the_patience() -> None:
    assert waited(0.4, "I like it.", longest_pause_ms=600) == 850
    assert waited(0.49, "I like it.", longest_pause_ms=2000) == 1000
    assert waited(0.1, "I like it.", silence_ms=480, patience_ms=300) == 480  # nor than it has waited already


def test_who_went_on_after_a_long_pause_is_not_ended_by_a_later_look() -> None:
    later = dict(silence_ms=480, longest_pause_ms=600)
    assert first(0.9, "It was the age of reason.", longest_pause_ms=600)
    assert not first(0.9, "It was the age of reason.", **later)
    assert waited(0.9, "It was the age of reason.", **later) == 850
    assert first(0.9, "It was the age of reason.", silence_ms=480)


def test_the_reason_tells_no_words() -> None:
    decision = decide(0.9, "My secret is the", voiced_ms=1500, silence_ms=160, patience_ms=900)
    assert (decision.why, decision.probability, decision.needed > 1) == ("open word", 0.9, True)


def test_who_was_cut_off_before_is_waited_for_unless_it_is_a_question() -> None:
    given = {"voiced_ms": 1500, "silence_ms": 160, "patience_ms": 1000}
    statement = decide(0.99, "Welcome to the voice text.", **given, habit_ms=800)
    assert not statement.sure and statement.wait_ms == 800 and statement.why == "pauses"
    assert decide(0.99, "Where is the station?", **given, habit_ms=800).sure
    assert decide(0.99, "Welcome to the voice text.", **{**given, "silence_ms": 960}, habit_ms=800).sure
    assert decide(0.99, "Welcome to the voice text.", **given, habit_ms=2600).wait_ms == 1000
    assert decide(0.4, "I like it.", **given, habit_ms=900).wait_ms == 900
