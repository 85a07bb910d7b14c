"""Why a rung cannot run: a sentence in English, and what a page needs to say it in another language."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec

from avatar import weights
from avatar.engines.catalog import Rung
from avatar.errors import AvatarError
from avatar.gpu import out_of_memory
from avatar.settings import Settings


@dataclass(frozen=True, slots=True)
class Hindrance:
    """`code` never changes between releases; the page's words for it are in ui/words/status.py, as "why_" + code."""

    code: str
    sentence: str
    values: Mapping[str, str] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()  # weights that are all that is missing


def absence(rung: Rung, settings: Settings) -> Hindrance | None:
    """What `rung` needs and is not here; None when nothing is. Asks the disk."""
    named = {"name": rung.label}
    if find_spec(rung.package) is None:
        said = f"{rung.label} is not installed: the package {rung.package} is missing."
        if rung.install:
            values = {**named, "package": rung.package, "install": rung.install}
            return Hindrance("PACKAGE_GET", f"{said} Get it with: {rung.install}", values)
        return Hindrance("PACKAGE", said, {**named, "package": rung.package})
    if rung.setting and not getattr(settings, rung.setting):
        name = f"AVATAR_{rung.setting.upper()}"
        said = f"{rung.label} is not set up: {name} is empty. README.md says what to set."
        return Hindrance("SETTING", said, {**named, "setting": name})
    if rung.no_room:
        return Hindrance("NO_ROOM", rung.no_room, named)
    lacks = tuple(name for name in rung.weights if not weights.present(name, settings.weights))
    return _weights(lacks, settings.download == "never", named) if lacks else None


def _weights(lacks: tuple[str, ...], never: bool, named: Mapping[str, str]) -> Hindrance:
    mb = f"{max(1, round(sum(weights.known(name).size for name in lacks) / 1e6)):,}"
    where = "with" if never else "on the Status tab, or with"
    wanted = ", ".join(lacks)
    said = f"Its weights are not on disk ({wanted}, {mb} MB)."
    said += f" Get them {where}: python -m avatar.weights fetch {lacks[0]}"
    values = {**named, "weights": wanted, "mb": mb, "first": lacks[0]}
    return Hindrance("WEIGHTS_NEVER" if never else "WEIGHTS", said, values, lacks)


def failed(rung: Rung, error: AvatarError) -> Hindrance:
    """What `error` says of `rung`, once it has taken it out; the cause of a failed load, where that has a name."""
    cause = error.__cause__
    code = cause.code if isinstance(cause, AvatarError) and cause.code != AvatarError.code else error.code
    if cause is not None and out_of_memory(cause):
        code = "ENGINE_OUT_OF_MEMORY"
    network = code in ("DOWNLOAD_OFFLINE", "DOWNLOAD_REFUSED", "DOWNLOAD_BROKEN")
    kinds = {"ENGINE_OUT_OF_MEMORY": "FAILED_MEMORY", "ENGINE_TIMEOUT": "FAILED_TIMEOUT"}
    kind = "FAILED_NETWORK" if network else kinds.get(code, "FAILED")
    return Hindrance(kind, error.sentence, {"name": rung.label, "code": code})
