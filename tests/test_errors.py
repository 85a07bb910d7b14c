import re

from avatar import errors
from avatar.errors import AvatarError, EngineError, EngineTimeout, StorageError


def tree(root: type[AvatarError]) -> list[type[AvatarError]]:
    return [
        root,
        *(found for child in root.__subclasses__() for found in tree(child) if found.__module__ == errors.__name__),
    ]


def test_the_drawn_tree_is_the_real_one() -> None:
    drawn = re.findall(r"^(?:.*── )?([A-Z]\w+?)(?:  .*)?$", (errors.__doc__ or "").partition("\n\n")[2], re.MULTILINE)
    assert drawn == [cls.__name__ for cls in tree(AvatarError)]


def test_every_failure_has_a_code_of_its_own() -> None:
    codes = [cls.code for cls in tree(AvatarError)]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch("[A-Z_]+", code) for code in codes)


def test_the_sentence_is_for_the_user_and_the_code_for_programs() -> None:
    error = StorageError("The disk is full.", code="STORAGE_FULL")
    assert (str(error), error.sentence, error.code) == ("The disk is full.", "The disk is full.", "STORAGE_FULL")
    assert StorageError.code == "STORAGE_FAILED"  # the instance's code is its own
    assert error.retryable and not AvatarError("x").retryable


def test_an_engine_error_says_which_engine() -> None:
    error = EngineTimeout("The voice stopped.", stage="tts", engine="espeak")
    assert isinstance(error, EngineError)
    assert (error.stage, error.engine, error.code, error.retryable) == ("tts", "espeak", "ENGINE_TIMEOUT", True)
