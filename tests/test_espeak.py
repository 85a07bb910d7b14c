"""The eSpeak parent around workers that hang, die and lie; and the real one."""

import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from avatar.engines import espeak
from avatar.engines.base import Voice
from avatar.engines.espeak import OUT_RATE, VOICES, WORKER, EspeakTTS, pitched, trim, voice_for
from avatar.errors import EngineError, EngineLoadError, EngineTimeout
from avatar.events import AudioChunk, Samples
from avatar.pitch import median_hz
from avatar.settings import Settings

FAKE = """
import json, math, struct, sys, time, array
stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
def answer(kind, payload):
    stdout.write(kind + struct.pack('<I', len(payload)) + payload); stdout.flush()
answer(b'R', json.dumps({'sample_rate': 22050, 'languages': ['en-us', 'de', 'cmn', 'ru', 'uk']}).encode())
while head := stdin.read(4):
    request = json.loads(stdin.read(struct.unpack('<I', head)[0]))
    text = request['text']
    if 'hang' in text: time.sleep(60)
    if 'die' in text: sys.exit(1)
    if 'garbage' in text: stdout.write(b'GARBAGE' * 9); stdout.flush(); continue
    if 'huge' in text: stdout.write(b'A' + struct.pack('<I', 2**32 - 1)); stdout.flush(); continue
    if 'short' in text: stdout.write(b'A' + struct.pack('<I', 999) + b'x'); stdout.flush(); sys.exit()
    if 'fail' in text: answer(b'E', b'no such voice'); continue
    tone = [int(9000 * math.sin(i / 8)) for i in range(22050)]
    answer(b'A', array.array('h', [0] * 4410 + tone + [0] * 8820).tobytes())
"""


@pytest.fixture
def fake() -> Iterator[EspeakTTS]:
    engine = EspeakTTS((sys.executable, "-c", FAKE), deadline_s=10)
    yield engine
    engine.close()


def spoken(engine: EspeakTTS, text: str, language: str | None = None) -> Samples:
    chunks = list(engine.speak(text, Voice(), language))
    assert all(chunk.sample_rate == OUT_RATE and chunk.samples.dtype == np.float32 for chunk in chunks)
    return np.concatenate([chunk.samples for chunk in chunks]) if chunks else np.zeros(0, np.float32)


def test_audio_is_resampled_trimmed_and_in_chunks(fake: EspeakTTS) -> None:
    chunks = list(fake.speak("hello.", Voice(), None))
    assert [round(chunk.duration_s, 2) for chunk in chunks] == [0.5, 0.5, 0.13]
    assert np.flatnonzero(np.abs(chunks[0].samples) > espeak.QUIET)[0] <= 0.011 * OUT_RATE


def test_words_that_go_on_are_followed_by_less_silence(fake: EspeakTTS) -> None:
    texts = ("All of it.", "(All of it!)", "The beginning of", "Of all,", "These:")
    whole, quoted, open_end, *parts = (len(spoken(fake, text)) / OUT_RATE for text in texts)
    assert whole == quoted and whole - open_end == pytest.approx(espeak.TAIL_S - espeak.HINGE_S, abs=0.001)
    assert [whole - part for part in parts] == pytest.approx([espeak.TAIL_S - espeak.COMMA_S] * 2, abs=0.001)


@pytest.mark.slow
def test_words_that_go_on_do_not_sound_like_an_end() -> None:
    engine = EspeakTTS()
    sounds = [spoken(engine, f"The weather in the north{end}") for end in ("", ",", ".")]
    engine.close()
    n = min(map(len, sounds))
    goes_on, comma, end = (sound[n // 2 : n] for sound in sounds)  # hiss is random, melody is not

    def likeness(other: Samples) -> float:
        return float(np.corrcoef(goes_on, other)[0, 1])

    assert likeness(comma) > likeness(end) + 0.2


@pytest.mark.parametrize("text", ["", "  ", "\x00\x07\n"])
def test_nothing_to_say_says_nothing(fake: EspeakTTS, text: str) -> None:
    assert len(spoken(fake, text)) == 0


@pytest.mark.parametrize("voice", [Voice("Ann", "a1"), Voice("Ann", None, AudioChunk(np.zeros(9, np.float32), 9))])
def test_a_profile_without_a_pitch_is_refused_and_not_replaced(fake: EspeakTTS, voice: Voice) -> None:
    with pytest.raises(EngineError, match="voice Ann") as refusal:
        next(fake.speak("hello", voice, None))
    assert refusal.value.code == "NO_CLONING"


def test_a_voice_that_it_does_not_have_is_refused(fake: EspeakTTS) -> None:
    with pytest.raises(EngineError, match="no voice alba, but: f2") as refusal:
        next(fake.speak("hello", Voice("alba"), None))
    assert refusal.value.code == "NO_VOICE"


def test_a_hang_is_killed_at_the_deadline_and_the_next_clause_spoken(fake: EspeakTTS) -> None:
    fake._deadline_s = 0.5
    started = time.monotonic()
    with pytest.raises(EngineTimeout, match="within 0.5 s") as failure:
        spoken(fake, "hang")
    assert time.monotonic() - started < 10  # its hang is 60 s long
    fake._deadline_s = 10  # nothing else here has to be quick, on a machine that may be busy
    assert (failure.value.stage, failure.value.engine) == ("tts", "espeak")
    assert len(spoken(fake, "hello"))


@pytest.mark.parametrize("text", ["die", "garbage", "huge", "short"])
def test_a_worker_that_dies_or_lies_is_replaced(fake: EspeakTTS, text: str) -> None:
    with pytest.raises(EngineError, match="stopped and was restarted"):
        spoken(fake, text)
    assert len(spoken(fake, "hello"))


def test_a_refusal_keeps_the_worker(fake: EspeakTTS) -> None:
    spoken(fake, "hello")
    process = fake._process
    with pytest.raises(EngineError, match="no such voice"):
        spoken(fake, "fail")
    spoken(fake, "hello")
    assert fake._process is process


@pytest.mark.parametrize("code", ["raise SystemExit(1)", "print('hello', flush=True)", "import time; time.sleep(60)"])
def test_a_worker_that_does_not_start_is_a_load_error(code: str) -> None:
    engine = EspeakTTS((sys.executable, "-c", code), start_s=0.5)
    with pytest.raises(EngineLoadError):
        spoken(engine, "hello")
    engine.close()


def test_close_ends_the_process_and_speaking_again_starts_one(fake: EspeakTTS) -> None:
    spoken(fake, "hello")
    process = fake._process
    fake.close()
    fake.close()
    assert process is not None and process.poll() is not None
    assert len(spoken(fake, "hello"))


@pytest.mark.parametrize(
    ("text", "language", "voice"),
    [
        ("hello", None, "en-us"),
        ("我喜欢 Python", None, "cmn"),
        ("我喜欢 Python", "zh-CN", "cmn"),
        ("你好", "en", "cmn"),
        ("Привет", None, "ru"),
        ("Привіт", "uk", "uk"),
        ("Guten Tag", "de-AT", "de"),
        ("hello", "en-GB", "en-us"),
        ("hello", "xx", "en-us"),
    ],
)
def test_the_voice_follows_language_and_writing(text: str, language: str | None, voice: str) -> None:
    assert voice_for(text, language, ("en-us", "de", "cmn", "ru", "uk")) == voice


def test_trim_of_silence_is_empty() -> None:
    assert len(trim(np.zeros(1000, np.float32), OUT_RATE)) == 0


@pytest.fixture(scope="module")
def real() -> Iterator[EspeakTTS]:
    engine = espeak.load(Settings(), lambda fraction: None)
    yield engine
    engine.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["Well, that depends on you.", "你好，今天天气很好。", "我喜欢 Python。", "Привет", "こんにちは"]
)
def test_real_speech_begins_at_once(real: EspeakTTS, text: str) -> None:
    samples = spoken(real, text)
    assert 0.4 < len(samples) / OUT_RATE < 4
    assert np.flatnonzero(np.abs(samples) > espeak.QUIET)[0] <= 0.02 * OUT_RATE


@pytest.mark.parametrize("text", ["I am fine.", "and it is", "你好嗎？", "今天天氣很好", "안녕하세요.", "こんにちは。"])
def test_real_speech_ends_with_its_last_sound_and_a_pause(text: str) -> None:
    engine = EspeakTTS()
    samples = spoken(engine, text)
    engine.close()
    behind_s = (len(samples) - np.flatnonzero(np.abs(samples) > espeak.QUIET)[-1]) / OUT_RATE
    wanted_s = espeak.HINGE_S if text[-1].isalnum() else espeak.TAIL_S
    assert behind_s == pytest.approx(wanted_s, abs=0.001) and abs(samples[-1]) < espeak.QUIET / 2
    assert 0.2 < np.abs(samples).max() <= 1.0


@pytest.mark.slow
def test_every_real_language_has_a_voice_that_speaks(real: EspeakTTS) -> None:
    languages = [*real.languages(), "fr", "zh-TW", "pt-BR", "en-GB"]
    silent = {language for language in languages if not len(spoken(real, "2 + 2", language))}
    assert len(languages) > 100
    assert silent <= {"fo", "kaa", "xex"}  # eSpeak NG has no rules for digits in these, or none at all


@pytest.mark.slow
def test_real_voices_differ_and_a_rate_is_kept(real: EspeakTTS) -> None:
    text = "About three minutes, in water just under boiling."
    sounds = [np.concatenate([c.samples for c in real.speak(text, Voice(name), "en")]) for name in ("default", *VOICES)]
    assert len({sound.tobytes() for sound in sounds}) == 7 and min(map(len, sounds)) > OUT_RATE
    slow, own, fast = (sum(c.duration_s for c in real.speak(text, Voice(rate=r), "en")) for r in (0.6, 1.0, 1.6))
    assert slow > 1.3 * own and own > 1.3 * fast


@pytest.mark.slow
def test_real_text_is_never_markup(real: EspeakTTS) -> None:
    paused = spoken(real, '<speak>one<break time="9s"/>two</speak>', "en")
    assert 2 < len(paused) / OUT_RATE < 9  # read out, not obeyed
    assert len(spoken(real, "a b " * 5000)) / OUT_RATE < 120  # cut at 2,000 characters
    assert len(real.languages()) > 100


@pytest.mark.slow
def test_real_speech_is_understood_by_moonshine(real: EspeakTTS) -> None:
    import soxr

    from avatar.engines import moonshine

    stt = moonshine.load(Settings.from_env(), lambda fraction: None)
    heard = soxr.resample(spoken(real, "I would like a cup of coffee, please."), OUT_RATE, 16_000)
    *_, last = stt.transcribe(heard, None)
    stt.close()
    assert {"like", "cup", "coffee"} <= set(moonshine.normal(last.text)), last.text


@pytest.mark.slow
def test_the_worker_ends_with_its_parent() -> None:
    worker = subprocess.Popen(WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert worker.stdin and worker.stdout
    assert worker.stdout.read(1) == b"R"
    worker.stdin.close()
    assert worker.wait(5) == 0
    worker.stdout.close()


@pytest.mark.parametrize("hz", [75, 100, 130, 160, 200, 260, 320])
def test_it_speaks_at_the_pitch_of_a_profile(hz: float) -> None:
    engine = EspeakTTS()
    text = "Good morning. The weather in the harbour is fine today, and we walk along the river before lunch."
    chunks = list(engine.speak(text, Voice("Ann", "a1", pitch_hz=hz), "en"))
    engine.close()
    said = median_hz(np.concatenate([chunk.samples for chunk in chunks]), OUT_RATE)
    assert said == pytest.approx(hz, rel=0.1)


def test_a_pitch_beyond_its_range_is_met_as_far_as_it_goes() -> None:
    assert pitched(40) == ("", 0) and pitched(900) == (espeak.VARIANT, 99) and pitched(None) == (espeak.VARIANT, 50)
