"""What is said, through the voice that everyone has."""

import ctypes
from collections.abc import Callable

import pytest

from avatar.saying import spoken


@pytest.fixture(scope="module")
def ipa() -> Callable[[str, str], str]:
    """ipa(text, voice): what eSpeak NG makes of it, without stress marks and spaces."""
    import espeakng_loader

    lib = ctypes.CDLL(espeakng_loader.get_library_path())
    assert lib.espeak_Initialize(2, 0, espeakng_loader.get_data_path().encode(), 0x8000) > 0
    lib.espeak_TextToPhonemes.restype = ctypes.c_char_p
    lib.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int]

    def phonemes(text: str, voice: str) -> str:
        assert lib.espeak_SetVoiceByName(voice.encode()) == 0
        rest, found = ctypes.c_char_p(text.encode()), []
        while rest.value is not None:
            found.append(lib.espeak_TextToPhonemes(ctypes.byref(rest), 1, 2).decode())
        return "".join(char for char in "".join(found) if char not in "ˈˌ ̪")

    return phonemes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("written", "voice", "sounds", "alone"),  # alone: whether eSpeak gets it right without our help
    [
        ("It costs $3.50.", "en-us", "dɑːlɚz ænd fɪfti sɛnts", False),
        ("on 12/25/2024", "en-us", "dᵻsɛmbɚ twɛntifɪfθ", False),
        ("in 2026", "en-us", "twɛnti twɛntisɪks", False),
        ("Call 555-123-4567.", "en-us", "faɪv faɪv faɪv", False),
        ("25°C", "en-us", "sɛlsɪəs", False),
        ("5 km", "en-us", "kɪlɑːmɪɾɚz", False),
        ("the 1990s", "en-us", "naɪntiːn naɪntiz", False),
        ("3/4 cup", "en-us", "θɹiː kwɔːɹɾɚz", False),
        ("World War II", "en-us", "wɔːɹ tuː", False),
        ("Is WHO right?", "en-us", "dʌbəljuː eɪtʃ oʊ", False),
        ("USB and AI", "en-us", "juːɛsbiː ænd eɪaɪ", True),
        ("今天25%。", "cmn", "pai2 fə5n ts.i.5 ər5 s.i.ɜ wu2", False),
        ("2026年", "cmn", "ər5 liɜŋ ər5 liou5", False),
        ("3/4杯", "cmn", "si5 fə5n ts.i.5 sa5n", False),
        ("我有128GB", "cmn", "dʒiː biː", True),
    ],
)
def test_espeak_says_it(ipa: Callable[[str, str], str], written: str, voice: str, sounds: str, alone: bool) -> None:
    wanted = sounds.replace(" ", "")
    assert wanted in ipa(spoken(written), voice)
    assert (wanted in ipa(written, voice)) == alone
