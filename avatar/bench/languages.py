"""How well the bundled ears tell English from what they cannot understand: `python -m avatar.bench.languages`.

Pieces of 1.2 to 8 s: the bundled clips, whole and cut anywhere, and sentences that eSpeak reads in other languages.
Cut pieces are harder than what people say. Few voices, most of them synthetic: this compares
rules, and promises nothing.
"""

import random
from collections.abc import Iterator

import numpy as np

from avatar.audio import resample
from avatar.bench.clips import FOLDER, load
from avatar.bench.served import conditions
from avatar.engines.base import OWN_VOICE, STT_RATE, TTS
from avatar.engines.espeak import load as load_voice
from avatar.engines.moonshine import GUARD_SAMPLES, normal
from avatar.engines.moonshine import load as load_ears
from avatar.events import Samples
from avatar.settings import Settings

ENGLISH = (
    "Good morning how are you",
    "What will the weather be like tomorrow?",
    "Tell me a story about a little fox",
    "I want to go to the sea tomorrow with my family",
    "How long do I have to boil an egg",
    "Please play some music for me",
)
ACCENTS = ("en", "en-gb", "en-gb-scotland")
OTHERS = {  # BCP 47 -> the weather, a story, the station, a good idea
    "de": (
        "Wie wird das Wetter morgen?",
        "Erzähl mir eine Geschichte",
        "Wo ist der Bahnhof?",
        "Das ist eine gute Idee",
    ),
    "nl": ("Wat voor weer wordt het morgen", "Vertel mij een verhaal", "Waar is het station", "Dat is een goed idee"),
    "es": ("¿Qué tiempo hace hoy?", "Cuéntame una historia", "¿Dónde está la estación?", "Es una buena idea"),
    "fr": ("Quel temps fait-il à Paris", "Raconte moi une histoire", "Où se trouve la gare", "C'est une bonne idée"),
    "it": ("Che tempo fa oggi a Roma", "Raccontami una storia", "Dove si trova la stazione", "È una buona idea"),
    "sv": ("Hur blir vädret i morgon", "Berätta en historia för mig", "Var ligger stationen", "Det är en bra idé"),
    "pl": ("Jaka jest dzisiaj pogoda", "Opowiedz mi historię", "Gdzie jest dworzec", "To dobry pomysł"),
    "cmn": ("今天天氣怎麼樣", "請給我講一個故事", "火車站在哪裡", "這是一個好主意"),
    "ko": ("오늘 날씨가 어때요", "이야기 하나 해 주세요", "기차역이 어디에 있어요", "좋은 생각이에요"),
    "ru": ("Какая сегодня погода", "Расскажи мне историю", "Где находится вокзал", "Это хорошая идея"),
    "hi": ("आज मौसम कैसा है", "मुझे एक कहानी सुनाओ", "स्टेशन कहाँ है", "यह अच्छा विचार है"),
    "vi": ("Hôm nay thời tiết thế nào", "Kể cho tôi một câu chuyện", "Nhà ga ở đâu", "Đó là một ý kiến hay"),
    "tr": ("Bugün hava nasıl", "Bana bir hikaye anlat", "İstasyon nerede", "Bu iyi bir fikir"),
}
CUTS, CUT_S = 6, (1.2, 6.0)  # of each clip that is longer
FEWEST = 3  # words: shorter answers are not judged by their certainty


def pieces(samples: Samples, rng: random.Random) -> Iterator[Samples]:
    """The clip, and pieces of it. float32 (n,) at STT_RATE."""
    yield samples[:GUARD_SAMPLES]
    for _ in range(CUTS):
        length = int(rng.uniform(*CUT_S) * STT_RATE)
        if length < len(samples) - STT_RATE // 2:
            start = rng.randrange(len(samples) - length)
            yield samples[start : start + length]


def spoken(voice: TTS, text: str, language: str) -> Samples:
    chunks = list(voice.speak(text, OWN_VOICE, language))
    return resample(np.concatenate([chunk.samples for chunk in chunks]), chunks[0].sample_rate, STT_RATE)


def main() -> None:
    settings, rng = Settings.from_env(), random.Random(1)
    ears = load_ears(settings, lambda _: None)
    voice = load_voice(settings, lambda _: None)
    try:
        english = [piece for clip in load(FOLDER) for piece in pieces(clip.samples, rng)]
        english += [spoken(voice, text, accent) for text in ENGLISH for accent in ACCENTS]
        foreign = [spoken(voice, text, tag) for tag, texts in OTHERS.items() for text in texts]
    finally:
        voice.close()
    for name, set_ in (("English", english), ("others", foreign)):
        passed = judged = 0
        for samples in set_:
            text = list(ears.transcribe(samples, None))[-1].text
            if len(normal(text)) >= FEWEST:
                judged += 1
                passed += ears.plausible(samples, text)
        print(f"{name}: {passed} of {judged} pass as English")
    print(conditions())


if __name__ == "__main__":
    main()
