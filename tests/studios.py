"""A Studio with the real Silero, speaker encoder and decoder, and ears that hear what they are told. Not a test."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fakes import FakeSTT, FakeTTS

from avatar import weights
from avatar.audio import Decoder, Limits
from avatar.engines.base import Abilities
from avatar.engines.pool import EnginePool
from avatar.pipeline import Pipeline
from avatar.preparing import Preparing
from avatar.settings import Settings
from avatar.speaker import SpeakerEncoder
from avatar.store import Store
from avatar.studio import MAX_S, MIN_S, RATE, Studio
from avatar.turntaking.voice import Silero
from avatar.voices import Voices

SPEECH = Path(__file__).parent / "data" / "speech"
JFK, GEORGE, BELLA = (SPEECH / name for name in ("jfk.flac", "ms_kokoro_bm_george.wav", "ms_kokoro_af_bella.wav"))
FIELDS = {"name": "Jack", "words": "Ask not.", "language": "en-US", "whose": "mine", "person": ""}


class Cloner(FakeTTS):
    abilities = Abilities(("*",), clones=True)


@contextmanager
def studio_in(data: Path, make_pool: Callable[..., EnginePool], **more: Any) -> Iterator[Studio]:
    """`ears`, `voice`: the engines; anything else goes to Studio. `prepare`: by default as in app.py."""
    folder = Settings.from_env().weights
    engines = {"stt": more.pop("ears", FakeSTT("I say what I like.")), "tts": more.pop("voice", Cloner())}
    pool = make_pool({stage: (stage, engine) for stage, engine in engines.items()})
    for slot in pool._slots.values():
        pool.warm(slot.rung)
    store = Store(data)
    voices = Voices(data, store.profiles, more.pop("starters", ()), pool.forget)
    decoder = Decoder(Limits(min_s=MIN_S, max_s=MAX_S, sample_rate=RATE))
    silero = Silero.load(weights.path("silero-vad", folder))
    encoder = more.pop("encoder", None) or SpeakerEncoder.load(weights.path("resemblyzer", folder))
    pipeline = Pipeline(pool, permit=voices.permit)
    preparing = Preparing(pool, voices.permit)
    try:
        yield Studio(voices, store, pipeline, decoder, silero, encoder, **{"prepare": preparing.ask, **more})
    finally:
        preparing.join(60)
        decoder.close()
        pool.close()
        store.close()
