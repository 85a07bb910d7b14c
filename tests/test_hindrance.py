from dataclasses import replace

import pytest
from fakes import rung

from avatar.engines.hindrance import absence, failed
from avatar.errors import EngineError, EngineLoadError, EngineTimeout, WeightsError
from avatar.settings import Settings


def test_nothing_is_missing(settings: Settings) -> None:
    assert absence(rung("here", "tts"), settings) is None


def test_the_first_thing_that_is_missing_is_named(settings: Settings) -> None:
    ghost = rung("ghost", "llm", package="no_such_package_here", setting="llm_url", weights=("whisper-base",))
    found = []
    for more in ({}, {"install": "make voice"}):
        found.append(absence(replace(ghost, **more), settings))
    found.append(absence(replace(ghost, package="json"), settings))
    found.append(absence(replace(ghost, package="json", setting="", no_room="It needs 6 GiB."), settings))
    found.append(absence(replace(ghost, package="json", setting=""), settings))
    found.append(absence(replace(ghost, package="json", setting=""), replace(settings, download="never")))
    assert [h.code for h in found if h] == [
        "PACKAGE", "PACKAGE_GET", "SETTING", "NO_ROOM", "WEIGHTS", "WEIGHTS_NEVER"
    ]  # fmt: skip
    values = {name: value for h in found if h for name, value in h.values.items()}
    assert values["package"] == "no_such_package_here" and values["install"] == "make voice"
    assert values["setting"] == "AVATAR_LLM_URL" and values["weights"] == "whisper-base" and int(values["mb"]) > 100
    assert [h.lacks for h in found if h][-2:] == [("whisper-base",)] * 2
    assert "Status" in found[-2].sentence and "Status" not in found[-1].sentence  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("cause", "code", "named"),
    [
        (WeightsError("No connection.", code="DOWNLOAD_OFFLINE"), "FAILED_NETWORK", "DOWNLOAD_OFFLINE"),
        (MemoryError(), "FAILED_MEMORY", "ENGINE_OUT_OF_MEMORY"),
        (RuntimeError("what a user said"), "FAILED", "ENGINE_NOT_LOADED"),
    ],
)
def test_a_failed_load_is_told_by_its_cause(cause: Exception, code: str, named: str) -> None:
    error = EngineLoadError("It did not load.", stage="tts", engine="x")
    error.__cause__ = cause
    why = failed(rung("x", "tts"), error)
    assert (why.code, why.values["code"], why.sentence) == (code, named, "It did not load.")


def test_a_failure_while_serving_is_told_by_its_own_code() -> None:
    kinds = [EngineTimeout("a", stage="tts", engine="x"), EngineError("b", stage="tts", engine="x")]
    assert [failed(rung("x", "tts"), kind).code for kind in kinds] == ["FAILED_TIMEOUT", "FAILED"]
