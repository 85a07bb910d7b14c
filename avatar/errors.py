"""The failures AVATAR can name: a code for programs, and the sentence the user sees.

AvatarError
 ├── SettingsError      an AVATAR_* value that cannot be used: stops the start
 ├── WeightsError       a model's weights are missing, damaged or cannot be fetched
 ├── EngineError        an engine failed while serving; has .stage, .engine and .lost
 │    ├── EngineLoadError   it could not be loaded at all
 │    ├── OutOfMemory       its memory ran out, the card's or the machine's
 │    ├── EngineTimeout     it did not deliver an item in time; its thread is abandoned
 │    └── NoEngine          every rung of a stage has failed, or none can do what was asked
 ├── ServerFull         all seats are taken, or this owner holds too many
 ├── AudioError         a recording or upload that cannot be used
 ├── ConsentError       a voice without a consent on record, or one that was deleted
 ├── StorageError       the disk or the database refused
 └── NotFound           no such thing, or not yours: the two are never told apart

Anything that is not an AvatarError is a bug and surfaces with its traceback.
"""


class AvatarError(Exception):
    """`sentence` is for people: what happened, and what to do next. `code` never changes between releases."""

    code = "ERROR"
    retryable = False

    def __init__(self, sentence: str, *, code: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        if code is not None:
            self.code = code


class SettingsError(AvatarError):
    code = "SETTINGS"


class WeightsError(AvatarError):
    code = "WEIGHTS"


class EngineError(AvatarError):
    code = "ENGINE_FAILED"
    retryable = True

    def __init__(self, sentence: str, *, stage: str, engine: str, code: str | None = None, lost: bool = False) -> None:
        """lost: the engine cannot serve anyone now, so that it is stepped down from; else only this call failed."""
        super().__init__(sentence, code=code)
        self.stage, self.engine, self.lost = stage, engine, lost


class EngineLoadError(EngineError):
    code = "ENGINE_NOT_LOADED"


class OutOfMemory(EngineError):
    code = "ENGINE_OUT_OF_MEMORY"


class EngineTimeout(EngineError):
    code = "ENGINE_TIMEOUT"


class NoEngine(EngineError):
    code = "NO_ENGINE"


class ServerFull(AvatarError):
    code = "SERVER_FULL"
    retryable = True


class AudioError(AvatarError):
    code = "AUDIO_UNREADABLE"


class ConsentError(AvatarError):
    code = "NO_CONSENT"


class StorageError(AvatarError):
    code = "STORAGE_FAILED"
    retryable = True


class NotFound(AvatarError):
    code = "NOT_FOUND"
