"""What a user chooses on the Talk tab: a voice, a persona, how words are said."""

from types import SimpleNamespace

import gradio as gr
import pytest
from page_fakes import CHINESE, ENGLISH, STAGE, FakeAssistant, owner_of

from avatar.errors import AvatarError
from avatar.ui import strings
from avatar.ui.own_voice import OwnVoiceEvents
from avatar.ui.persona import PersonaEvents
from avatar.ui.sayings import SayingsEvents
from avatar.ui.voice import ReplyVoiceEvents


async def test_the_voices_are_those_that_can_be_chosen_and_the_one_that_is() -> None:
    assistant = FakeAssistant()
    on = ReplyVoiceEvents(assistant, owner_of)  # type: ignore[arg-type]
    shown = on.voices(STAGE, ENGLISH)
    assert [value for _, value in shown.choices] == ["", "alba", "marius"] and shown.value == ""
    assert shown.choices[1][0] == "Voice: alba · Pocket TTS"
    assert await on.choose_voice("alba", STAGE, ENGLISH) == STAGE
    assert await on.choose_voice("alba", {"conversation": "c9", "live": "L"}, ENGLISH) == gr.skip()
    assert assistant.asked == [("voice", "local", "c9", "", "alba"), ("voice", "local", "c9", "L", "alba")]
    assert on.voices(STAGE, ENGLISH).value == "alba" and on.voices({}, ENGLISH).value == ""
    assert (await on.choose_voice("marius", {}, ENGLISH)) == {"conversation": "c1", "live": ""}


async def test_a_voice_whose_engine_is_gone_stays_chosen_and_says_so() -> None:
    assistant = FakeAssistant()
    assistant.store.chosen["c9"], assistant.voices.choices = "alba", []
    on = ReplyVoiceEvents(assistant, owner_of)  # type: ignore[arg-type]
    assert on.voices(STAGE, CHINESE).choices[-1] == ("聲音：alba，目前無法使用", "alba")
    assistant.trouble = AvatarError("This voice is not here now. Choose another one.", code="NO_VOICE")
    with pytest.warns(UserWarning, match="not here now"):
        assert await on.choose_voice("marius", STAGE, ENGLISH) == gr.skip()
    assert on.voices(STAGE, ENGLISH).value == "alba"


def test_a_voice_that_was_deleted_is_called_so_and_not_by_its_id() -> None:
    class Kept:
        def of(self, owner: str) -> list[SimpleNamespace]:
            return [SimpleNamespace(id="7", name="Mina")]

    assistant = FakeAssistant()
    assistant.studio = SimpleNamespace(voices=Kept())
    on = ReplyVoiceEvents(assistant, owner_of)  # type: ignore[arg-type]
    for choice, words in (("profile:7", "Voice: Mina, not here now"), ("profile:8", "Voice: one that was deleted")):
        assistant.store.chosen["c9"] = choice
        assert on.voices(STAGE, ENGLISH).choices[-1] == (words, choice)


async def test_who_asks_for_their_own_voice_hears_it_whatever_was_chosen_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    toasts: list[str] = []
    monkeypatch.setattr(gr, "Info", lambda words, title: toasts.append(words))
    assistant, learnt = FakeAssistant(), list[tuple[str, str]]()

    class Studio:
        def learn_own(self, owner: str, conversation: str) -> None:
            learnt.append((owner, conversation))

    assistant.store.chosen["c9"] = "alba"
    on = OwnVoiceEvents(assistant, Studio(), owner_of)  # type: ignore[arg-type]
    await on.learn_own(True, {"conversation": "c9", "live": "L"}, ENGLISH)
    assert learnt == [("local", "c9")] and toasts == [strings.ENGLISH["own_made"]]
    assert assistant.asked == [("voice", "local", "c9", "L", "")] and assistant.store.chosen["c9"] == ""


async def test_a_persona_is_kept_for_the_conversation_that_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    toasts: list[str] = []
    monkeypatch.setattr(gr, "Info", lambda words, title: toasts.append(words))
    assistant = FakeAssistant()
    on = PersonaEvents(assistant, owner_of)  # type: ignore[arg-type]
    assert await on.keep_persona("A pirate.", STAGE, ENGLISH) == STAGE
    assert assistant.asked == [("persona", "local", "c9", "", "A pirate.")]
    assert on.persona(STAGE, "", ENGLISH) == ("A pirate.", "c9") and on.persona({}, "c9", ENGLISH) == ("", "")
    assert on.persona(STAGE, "c9", ENGLISH) == (gr.skip(), gr.skip())  # it may be changed just now
    assert on.persona({"conversation": "c8"}, "", ENGLISH) == (gr.skip(), "c8")
    other = PersonaEvents(assistant, lambda request: "eve")  # type: ignore[arg-type]
    assert other.persona(STAGE, "c8", ENGLISH) == ("", "c9")
    assert await on.keep_persona("A pirate.", {}, ENGLISH) == {"conversation": "c1", "live": ""}
    assert await on.keep_persona("A pirate.", {"conversation": "c9", "live": "L"}, CHINESE) == gr.skip()
    assert toasts[0] == strings.ENGLISH["persona_saved"] and toasts[2] == strings.CHINESE["persona_saved"]
    assistant.trouble = AvatarError("At most 400 characters fit.", code="PERSONA_LONG")
    with pytest.warns(UserWarning, match="400 characters"):
        assert await on.keep_persona("x" * 401, STAGE, ENGLISH) == gr.skip()
    assert len(toasts) == 3


def test_a_word_is_saved_listed_changed_and_deleted() -> None:
    assistant = FakeAssistant()
    on = SayingsEvents(assistant, owner_of)  # type: ignore[arg-type]
    assert not on.taught(ENGLISH)[0].visible and not on.choose("GIF", ENGLISH)[2].visible
    written, spoken, rows, delete = on.teach("GIF", "jif", ENGLISH)
    assert (written, spoken) == ("", "") and assistant.asked == [("say_as", "local", "GIF", "jif")]
    assert rows.visible and rows.choices == [("GIF is said as jif", "GIF")] and not delete.visible
    assert on.taught(CHINESE)[0].choices == [("GIF 唸成 jif", "GIF")]
    assert on.choose("GIF", ENGLISH)[:2] == ("GIF", "jif") and on.choose("GIF", ENGLISH)[2].visible
    assert not on.forget("GIF", ENGLISH)[0].visible and assistant.store.sayings.kept == {}
    with pytest.warns(UserWarning, match="not there any more"):
        on.forget("GIF", ENGLISH)


def test_a_word_that_is_refused_stays_in_its_boxes() -> None:
    assistant = FakeAssistant()
    assistant.trouble = AvatarError("Both sides need a letter or a digit.", code="SAYING_EMPTY")
    on = SayingsEvents(assistant, owner_of)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="need a letter"):
        assert on.teach("GIF", "", ENGLISH) == (gr.skip(), gr.skip(), gr.skip(), gr.skip())
    with pytest.warns(UserWarning, match="兩格都填寫"):
        on.teach("GIF", "", CHINESE)
