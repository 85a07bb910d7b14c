"""Which engines exist: the rows of the ladder, best first per stage, and which of them the settings allow.

Data only: adapters are named here and imported by the pool when they load.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from avatar import weights
from avatar.engines.base import Stage
from avatar.errors import SettingsError
from avatar.planner import NO_CARD, Plan, Share
from avatar.settings import Settings

RAY = "ray"  # what the settings call the rungs of a cluster, ray-stt, ray-llm and ray-tts
STAGES: tuple[Stage, ...] = ("stt", "llm", "tts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One engine of the ladder. `package` must import, `weights` must be on disk; `parallel` callers share it.

    `given` names the setting with which a user brings another model: a path replaces the weights, a name chooses among
    those called like the rung ("whisper-base").
    Where languages and cloning depend on the weights found, the loaded engine's `Abilities` win over its row.
    `share` is its part of a graphics card, from the plan (planner.py, which knows rungs by their names): `load` gets it
    as its third argument; `replicas` are the shares of further copies, on other cards. `needs_card`: without a share
    there is no such engine, and `no_room` says why. `hq`: it speaks only where HQ was asked for, and is loaded then.
    """

    name: str
    stage: Stage
    label: str
    module: str
    package: str
    setting: str = ""  # a field of Settings: while it is empty, there is no such engine
    unless: str = ""  # a field of Settings: what it names takes this rung's place, where no rung is asked for by name
    install: str = ""  # the command that installs the package, where `make run` does not
    weights: tuple[str, ...] = ()
    given: str = ""
    languages: tuple[str, ...]  # BCP 47 primary tags; "*" is any
    clones: bool = False
    pitch: bool = False  # speaks at a profile's pitch, where it cannot clone
    licence: str
    memory_mib: int  # resident memory it adds once loaded
    parallel: int = 1
    beside: int = 0  # urgent callers more, which it serves in the middle of its work
    demo: bool = False
    slower: bool = False  # than the rung below it: the page says so, and engines/ears.py spares it
    hq: bool = False
    needs_card: bool = False
    share: Share | None = None
    replicas: tuple[Share, ...] = ()
    no_room: str = ""


# Of OpenAI's multilingual models up to large-v2, as BCP 47: Whisper's own name for Javanese is "jw".
WHISPER_LANGUAGES = (
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la mi ml "
    "cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg sd gu am "
    "yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jv su"
)

CATALOG: tuple[Rung, ...] = (
    Rung(
        name="ray-stt",
        stage="stt",
        label="Ray cluster",
        module="avatar.engines.clustered:load_stt",
        package="http",
        setting="ray_url",
        languages=tuple(WHISPER_LANGUAGES.split()),
        licence="of the cluster's engine",
        memory_mib=1,
        parallel=64,
    ),
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
        slower=True,
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
        name="ray-llm",
        stage="llm",
        label="Ray cluster",
        module="avatar.engines.clustered:load_llm",
        package="http",
        setting="ray_url",
        languages=("*",),
        licence="of the cluster's engine",
        memory_mib=1,
        parallel=64,
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
        name="vllm",
        stage="llm",
        label="Qwen2.5 7B",
        module="avatar.engines.vllm",
        package="vllm",
        install="make run-gpu",
        weights=("qwen2.5-7b-instruct-awq",),
        given="vllm_model",
        languages=("*",),
        licence="Apache-2.0",
        memory_mib=3_000,  # of its two processes; on the card it takes its share
        parallel=64,
        needs_card=True,
    ),
    Rung(
        name="qwen",
        stage="llm",
        label="Qwen2.5 1.5B",
        module="avatar.engines.qwen",
        package="xllamacpp",
        unless="gguf",
        weights=("qwen2.5-1.5b",),
        languages=("*",),
        licence="Apache-2.0",
        memory_mib=2_000,  # a model of its shape, with five seats (bench/mind.py, 2026-11-26)
        parallel=64,
        slower=True,
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
        name="cosyvoice",
        stage="tts",
        label="CosyVoice 3",
        module="avatar.engines.cosyvoice",
        package="vllm_omni",
        install="make run-gpu",
        weights=("cosyvoice3-0.5b",),
        given="cosyvoice_model",
        languages=("zh", "en", "ja", "ko", "de", "es", "fr", "it", "ru"),
        clones=True,
        licence="Apache-2.0",
        memory_mib=6_000,  # of its three processes; on the card it takes its share
        parallel=4,
        hq=True,
        needs_card=True,
    ),
    Rung(
        name="ray-tts",
        stage="tts",
        label="Ray cluster",
        module="avatar.engines.clustered:load_tts",
        package="http",
        setting="ray_url",
        languages=("*",),
        licence="of the cluster's engine",
        memory_mib=1,
        parallel=64,
    ),
    Rung(
        name="f5",
        stage="tts",
        label="F5-TTS",
        module="avatar.engines.f5",
        package="f5_tts",
        install="make run-gpu",
        weights=("f5-tts-v1", "vocos-24khz"),
        given="f5_model",
        languages=("en", "zh"),
        clones=True,
        licence="MIT, weights CC-BY-NC-4.0",
        memory_mib=3_000,
        beside=1,
        needs_card=True,
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
        pitch=True,
        licence="GPL-3.0, in a process of its own",
        memory_mib=30,
    ),
)


def allowed(catalog: Sequence[Rung], settings: Settings, plan: Plan = NO_CARD) -> list[Rung]:
    """The rungs that the settings allow, best first, each with the model that they give it and its share of the card.

    `ray` is the cluster's, with all others below it: it may be lost. Without that word it is left out. Raises
    SettingsError for a name that no rung or no model has.
    """
    rungs: list[Rung] = []
    for stage in STAGES:
        ladder = [rung for rung in catalog if rung.stage == stage]
        wanted = getattr(settings, stage)
        names = [rung.name for rung in ladder if rung.name != f"{RAY}-{stage}"]
        if wanted not in ("auto", RAY, *names):
            valid = ", ".join(["auto", *names, RAY])
            raise SettingsError(f"AVATAR_{stage.upper()}={wanted} is not an engine here. Choose one of: {valid}.")
        if wanted != RAY:
            ladder = [rung for rung in ladder if rung.name in names and wanted in ("auto", rung.name)]
        if wanted in ("auto", RAY):
            ladder = [rung for rung in ladder if not (rung.unless and getattr(settings, rung.unless))]
        rungs += [_spared(_placed(_with_model(rung, settings, plan), plan), settings) for rung in ladder]
    return rungs


def _spared(rung: Rung, settings: Settings) -> Rung:
    """A Whisper that somebody chose or told rare words, or that has a card, hears everything (engines/ears.py)."""
    chosen = (
        settings.stt == "whisper" or settings.whisper_model != "auto" or settings.hotwords or rung.share is not None
    )
    return replace(rung, slower=False) if rung.stage == "stt" and chosen else rung


def planned_model(share: Share | None) -> str:
    """Of Whisper's models the one for this place: what the card has room for, base on the CPU."""
    return share.model if share is not None and share.model else "base"


def wants_card(settings: Settings, catalog: Sequence[Rung] = CATALOG) -> set[str]:
    """The names to plan the card for: what the settings allow, where the package is installed. Raises SettingsError."""
    return {rung.name for rung in allowed(catalog, settings) if find_spec(rung.package) is not None}


def _placed(rung: Rung, plan: Plan) -> Rung:
    share = plan.shares.get(rung.name)
    if share is None and rung.needs_card:
        return replace(rung, no_room=plan.reasons.get(rung.name, f"{rung.label} needs a graphics card."))
    return rung if share is None else replace(rung, share=share, replicas=plan.replicas.get(rung.name, ()))


def _with_model(rung: Rung, settings: Settings, plan: Plan) -> Rung:
    model: Path | str | None = getattr(settings, rung.given) if rung.given else None
    if model is None:
        return rung
    if model == "auto":
        model = planned_model(plan.shares.get(rung.name))
    if isinstance(model, Path):
        # the folder of a voice is called as its language
        label = rung.label if rung.stage == "tts" else model.name.removesuffix(".gguf")
        return replace(rung, label=label, weights=(), demo=False)
    known = [name.removeprefix(f"{rung.name}-") for name in weights.WEIGHTS if name.startswith(f"{rung.name}-")]
    if model not in known:
        raise SettingsError(
            f"AVATAR_{rung.given.upper()}={model} is not a model that AVATAR knows. Choose one of: {', '.join(known)}; "
            "or give the path of a folder."
        )
    return replace(rung, label=f"{rung.label} {model}", weights=(f"{rung.name}-{model}",))
