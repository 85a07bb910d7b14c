"""Which engines exist: the rows of the ladder, best first per stage, and which of them the settings allow.

Data only: adapters are named here and imported by the pool when they load.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from avatar import weights
from avatar.engines.base import Stage
from avatar.errors import SettingsError
from avatar.settings import Settings

STAGES: tuple[Stage, ...] = ("stt", "llm", "tts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One engine of the ladder. `package` must import, `weights` must be on disk; `parallel` callers share it.

    `given` names the setting with which a user brings another model: a path replaces the weights, a name chooses among
    those called like the rung ("whisper-base").
    Where languages and cloning depend on the weights found, the loaded engine's `Abilities` win over its row.
    """

    name: str
    stage: Stage
    label: str
    module: str
    package: str
    setting: str = ""  # a field of Settings: while it is empty, there is no such engine
    install: str = ""  # the command that installs the package, where `make run` does not
    weights: tuple[str, ...] = ()
    given: str = ""
    languages: tuple[str, ...]  # BCP 47 primary tags; "*" is any
    clones: bool = False
    licence: str
    memory_mib: int  # resident memory it adds once loaded
    parallel: int = 1
    demo: bool = False


# Of OpenAI's multilingual models up to large-v2, as BCP 47: Whisper's own name for Javanese is "jw".
WHISPER_LANGUAGES = (
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la mi ml "
    "cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg sd gu am "
    "yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jv su"
)

CATALOG: tuple[Rung, ...] = (
    Rung(
        name="whisper",
        stage="stt",
        label="Whisper",
        module="avatar.engines.whisper",
        package="faster_whisper",
        given="whisper_model",
        languages=tuple(WHISPER_LANGUAGES.split()),
        licence="MIT",
        memory_mib=260,  # base in 8 bits, after a few transcripts (2026-11-23)
    ),
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
        name="remote",
        stage="llm",
        label="Model server",
        module="avatar.engines.remote",
        package="openai",
        setting="llm_url",
        languages=("*",),
        licence="of the server's model",
        memory_mib=20,
        parallel=64,
    ),
    Rung(
        name="llamacpp",
        stage="llm",
        label="SmolLM2 135M",
        module="avatar.engines.llamacpp",
        package="xllamacpp",
        weights=("smollm2-135m",),
        given="gguf",
        languages=("en",),
        licence="Apache-2.0",
        memory_mib=400,
        parallel=64,
        demo=True,
    ),
    Rung(
        name="pocket",
        stage="tts",
        label="Pocket TTS",
        module="avatar.engines.pocket",
        package="pocket_tts",
        install="make voice",
        weights=("pocket-tts-en",),
        given="pocket_model",
        languages=("en", "fr", "de", "pt", "it", "es", "nl"),  # one model each; the loaded ones are its abilities
        licence="MIT, weights CC-BY-4.0",
        memory_mib=800,
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
    """The rungs that the settings allow, best first, each with the model that they give it.

    Raises SettingsError for a name that no rung or no model has.
    """
    rungs: list[Rung] = []
    for stage in STAGES:
        ladder = [rung for rung in catalog if rung.stage == stage]
        wanted = getattr(settings, stage)
        if wanted != "auto" and wanted not in (names := [rung.name for rung in ladder]):
            valid = ", ".join(["auto", *names])
            raise SettingsError(f"AVATAR_{stage.upper()}={wanted} is not an engine here. Choose one of: {valid}.")
        rungs += [_with_model(rung, settings) for rung in ladder if wanted in ("auto", rung.name)]
    return rungs


def _with_model(rung: Rung, settings: Settings) -> Rung:
    model: Path | str | None = getattr(settings, rung.given) if rung.given else None
    if model is None:
        return rung
    if isinstance(model, Path):
        label = (
            rung.label if rung.stage == "tts" else model.name.removesuffix(".gguf")
        )  # a voice's is a language's name
        return replace(rung, label=label, weights=(), demo=False)
    known = [name.removeprefix(f"{rung.name}-") for name in weights.WEIGHTS if name.startswith(f"{rung.name}-")]
    if model not in known:
        raise SettingsError(
            f"AVATAR_{rung.given.upper()}={model} is not a model that AVATAR knows. Choose one of: {', '.join(known)}; "
            "or give the path of a folder."
        )
    return replace(rung, label=f"{rung.label} {model}", weights=(f"{rung.name}-{model}",))
