"""The speech clips at the rate of a voice profile, listened to. Not a test itself."""

import asyncio
from functools import cache

from clips import DATA

from avatar import weights
from avatar.audio import Decoder, Limits
from avatar.events import Samples
from avatar.settings import Settings
from avatar.turntaking.voice import Silero
from avatar.voiced import Heard, listen

RATE = 24_000


@cache
def samples(name: str) -> Samples:
    async def decode() -> Samples:
        decoder = Decoder(Limits(sample_rate=RATE))
        try:
            return await decoder.decode(DATA / "speech" / name)
        finally:
            decoder.close()

    return asyncio.run(decode())


@cache
def silero() -> Silero:
    return Silero.load(weights.path("silero-vad", Settings.from_env().weights))


def heard(sound: Samples | str) -> Heard:
    return listen(samples(sound) if isinstance(sound, str) else sound, RATE, silero())
