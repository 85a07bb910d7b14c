"""The process that eSpeak NG lives in: its state is global, its licence GPL-3.0, and a hang can only be killed.

Run as a script by espeak.py; imports nothing of AVATAR. Requests on stdin: uint32 length, then JSON {"text", "voice",
"rate", "pitch"}.
Answers on stdout: kind (1 byte), uint32 length, payload. `R` ready, JSON {"sample_rate", "languages"}; `A` one whole
clause, int16 mono; `E` what went wrong, UTF-8. Ends when stdin does, even in the middle of a clause.
"""

import ctypes
import json
import os
import struct
import sys
import threading
from queue import SimpleQueue
from typing import Any, BinaryIO

SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: espeak_Synth returns when the audio is complete, delivered by callback
NO_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: report missing data instead of ending the process
UTF8 = 1  # espeakCHARS_UTF8, and neither espeakSSML nor espeakPHONEMES: text is only ever text
# espeakENDPAUSE. Without it the sound ends with the last whole buffer of 60 ms, inside the last syllable: 88 ms of
# "你好嗎？" and 56 ms of "I am fine." were missing, and no pause followed (2026-11-26).
END_PAUSE = 0x1000
RATE, PITCH = 1, 3  # espeakRATE, words per minute; espeakPITCH, 0 to 100

SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class EspeakVoice(ctypes.Structure):
    """espeak_VOICE of speak_lib.h."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),  # one priority byte, then the tag
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


class Espeak:
    def __init__(self) -> None:
        import espeakng_loader

        self._lib: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self.sample_rate = int(self._lib.espeak_Initialize(SYNCHRONOUS, 0, data, NO_EXIT))
        if self.sample_rate <= 0:
            raise RuntimeError(f"eSpeak NG found no data ({self.sample_rate})")
        self._pcm = bytearray()
        self._callback = SynthCallback(self._collect)  # kept: ctypes frees what nobody holds
        self._lib.espeak_SetSynthCallback(self._callback)
        self._files = self._voices()

    def _voices(self) -> dict[str, str]:
        """The file name of each language's voice, to which a variant may be added: "fr-fr" lies in "roa/fr"."""
        self._lib.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(EspeakVoice))
        voices, count = self._lib.espeak_ListVoices(None), 0
        found: dict[str, str] = {}
        while voices[count]:
            voice, count = voices[count].contents, count + 1
            found.setdefault(voice.languages[1:].decode(), voice.identifier.decode().rpartition("/")[2])
        return found

    def languages(self) -> list[str]:
        return sorted(self._files)

    def synthesize(self, text: str, voice: str, rate: int, pitch: int) -> bytes:
        """voice: a language and a variant. Return int16 PCM. Raises ValueError for a voice that does not exist."""
        language, plus, variant = voice.partition("+")
        name = f"{self._files.get(language, language)}{plus}{variant}"
        if self._lib.espeak_SetVoiceByName(name.encode()):
            raise ValueError(f"eSpeak NG has no voice {voice}")
        self._lib.espeak_SetParameter(RATE, rate, 0)
        self._lib.espeak_SetParameter(PITCH, pitch, 0)
        self._pcm.clear()
        encoded = text.encode()
        self._lib.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, UTF8 | END_PAUSE, None, None)
        return bytes(self._pcm)

    def _collect(self, wave: Any, count: int, events: Any) -> int:
        if count > 0:
            self._pcm += ctypes.string_at(wave, 2 * count)
        return 0


def main() -> None:
    requests: SimpleQueue[dict[str, Any]] = SimpleQueue()
    answers = sys.stdout.buffer
    # stdin is read on a thread of its own, so that the end of the parent ends a clause that hangs, too
    threading.Thread(target=_read, args=(sys.stdin.buffer, requests), daemon=True).start()
    espeak = Espeak()
    ready = {"sample_rate": espeak.sample_rate, "languages": espeak.languages()}
    _answer(answers, b"R", json.dumps(ready).encode())
    while True:
        request = requests.get()
        try:
            pcm = espeak.synthesize(request["text"], request["voice"], request["rate"], request["pitch"])
        except ValueError as exc:
            _answer(answers, b"E", str(exc).encode())
        else:
            _answer(answers, b"A", pcm)


def _read(stream: BinaryIO, requests: SimpleQueue[dict[str, Any]]) -> None:
    while len(head := stream.read(4)) == 4:
        requests.put(json.loads(stream.read(struct.unpack("<I", head)[0])))
    os._exit(0)


def _answer(stream: BinaryIO, kind: bytes, payload: bytes) -> None:
    stream.write(kind + struct.pack("<I", len(payload)) + payload)
    stream.flush()


if __name__ == "__main__":
    main()
