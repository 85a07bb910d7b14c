"""Which engines exist: the rows of the ladder, best first per stage, and which of them the settings allow.

Data only: adapters are named here and imported by the pool when they load.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from avatar.engines.base import Stage
from avatar.errors import SettingsError
from avatar.settings import Settings

STAGES: tuple[Stage, ...] = ("stt", "llm", "tts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One engine of the ladder. `package` must import, `weights` must be on disk; `parallel` callers share it."""

    name: str
    stage: Stage
    label: str
    module: str
    package: str
    weights: tuple[str, ...] = ()
    languages: tuple[str, ...]  # BCP 47 primary tags; "*" is any
    clones: bool = False
    licence: str
    memory_mib: int  # resident memory it adds once loaded
    parallel: int = 1
    demo: bool = False


CATALOG: tuple[Rung, ...] = (
    Rung(
        name="moonshine",
        stage="stt",
        label="Moonshine tiny",
        module="avatar.engines.moonshine",
        package="moonshine_voice",
        weights=("moonshine-tiny-en",),
        languages=("en",),
        licence="MIT",
        memory_mib=150,
        parallel=2,
    ),
    Rung(
        name="llamacpp",
        stage="llm",
        label="SmolLM2 135M",
        module="avatar.engines.llamacpp",
        package="xllamacpp",
        weights=("smollm2-135m",),
        languages=("en",),
        licence="Apache-2.0",
        memory_mib=400,
        parallel=64,
        demo=True,
    ),
    Rung(
        name="espeak",
        stage="tts",
        label="eSpeak NG",
        module="avatar.engines.espeak",
        package="espeakng_loader",
        languages=("*",),
        licence="GPL-3.0, in a process of its own",
        memory_mib=30,
    ),
)


def allowed(catalog: Sequence[Rung], settings: Settings) -> list[Rung]:
    """The rungs that the settings allow, best first. Raises SettingsError for a name that no rung has."""
    rungs: list[Rung] = []
    for stage in STAGES:
        ladder = [rung for rung in catalog if rung.stage == stage]
        wanted = getattr(settings, stage)
        if wanted != "auto" and wanted not in (names := [rung.name for rung in ladder]):
            valid = ", ".join(["auto", *names])
            raise SettingsError(f"AVATAR_{stage.upper()}={wanted} is not an engine here. Choose one of: {valid}.")
        rungs += [rung for rung in ladder if wanted in ("auto", rung.name)]
    return rungs
