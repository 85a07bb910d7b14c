"""Files of a model hub's repository over plain HTTP: resumed where they were cut, bounded, verified, put in place.

Not through huggingface_hub, which is installed: its downloads cannot be cancelled, do not end when a server falls
silent for longer than one read, do not compare the SHA-256 of what arrived, and without a network they take longer to
say so. httpx, which Gradio needs, does what is left to do. Knows no engine; the address is HF_ENDPOINT, as elsewhere.
"""

import asyncio
import contextlib
import errno
import fcntl
import functools
import hashlib
import os
import re
import shutil
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx

from avatar.errors import WeightsError
from avatar.weights.cancel import Cancel, Cancelled
from avatar.weights.disk import BLOCK, PART, by_hand, fault, files, location, mark
from avatar.weights.sources import HubFile, HubFiles, Weight

Progress = Callable[[float], None]

HUB = "https://huggingface.co"
CONNECT_S = 3.0  # no answer to a connection for this long: there is no hub
STALL_S = 20.0  # no byte for this long: the hub is gone, and what has arrived is kept
ATTEMPTS = 5  # connections for one file within one fetch, when each is cut
REDIRECTS = 5  # from one address of the hub to another
SPARE = 64 << 20  # bytes left free for everything else on that disk


@dataclass(frozen=True, slots=True)
class _Wanted:
    """`digest` is a SHA-256, or the SHA-1 of a git blob, which is what the hub has of small files."""

    file: HubFile
    place: Path
    size: int
    digest: str

    @property
    def part(self) -> Path:
        return self.place.with_name(self.place.name + PART)

    def arrived(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0


class _Hash:
    """The two digests of one file that is still arriving."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.restart()

    def restart(self) -> None:
        self.sha256 = hashlib.sha256()
        self.git_blob = hashlib.sha1(f"blob {self.size}\0".encode(), usedforsecurity=False)

    def update(self, block: bytes) -> None:
        self.sha256.update(block)
        self.git_blob.update(block)

    def is_(self, digest: str) -> bool:
        return digest in (self.sha256.hexdigest(), self.git_blob.hexdigest())


def fetch(weight: Weight, source: HubFiles, folder: Path, progress: Progress, cancel: Cancel, endpoint: str) -> None:
    """Put the files in place. Blocks; `endpoint` is the hub's address. Raises WeightsError, Cancelled, OSError."""
    download = _Download(weight, source, folder, progress, endpoint.rstrip("/"))
    loop = asyncio.new_event_loop()
    task = loop.create_task(download.run())
    try:
        with cancel.by(lambda: loop.call_soon_threadsafe(task.cancel)):
            loop.run_until_complete(task)
    except asyncio.CancelledError as exc:
        raise Cancelled(f"Getting {weight.name} was stopped. What has arrived is kept.") from exc
    finally:
        if not task.done():  # KeyboardInterrupt: connections and files are closed by the task itself
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(task)
        loop.close()  # unlike asyncio.run, does not wait for a resolver that hangs


class _Download:
    def __init__(self, weight: Weight, source: HubFiles, folder: Path, progress: Progress, endpoint: str) -> None:
        self.weight, self.source, self.folder, self.progress = weight, source, folder, progress
        self.endpoint = endpoint
        self.total = self.done = 0

    async def run(self) -> None:
        place = location(self.weight, self.folder)
        (self.folder if len(self.source.files) == 1 else place).mkdir(parents=True, exist_ok=True)
        missing = self._missing()
        headers = {"User-Agent": "avatar", "Accept-Encoding": "identity"}
        timeout = httpx.Timeout(STALL_S, connect=CONNECT_S)
        with self._said():
            async with httpx.AsyncClient(
                headers=headers, timeout=timeout, follow_redirects=True, verify=_certificates()
            ) as client:
                wanted = [await self._described(client, file, place) for file, place in missing]
                self.total = self.done + sum(item.size for item in wanted)
                self._check_space(sum(item.size - item.arrived() for item in wanted))
                for item in wanted:
                    await self._get(client, item)

    def _missing(self) -> list[tuple[HubFile, Path]]:
        """The files that are not whole; `done` counts the others."""
        missing = []
        for file, (place, size, sha256) in zip(self.source.files, files(self.weight, self.folder), strict=True):
            if fault(place, size, sha256):
                missing.append((file, place))
            else:
                self.done += place.stat().st_size
        return missing

    def _check_space(self, needed: int) -> None:
        free = shutil.disk_usage(self.folder).free
        if free < needed + SPARE:
            short = f"{needed / 1e6:,.0f} MB are needed and {max(0, free - SPARE) / 1e6:,.0f} MB are free"
            raise WeightsError(f"The disk of {self.folder} has no room: {short}.", code="DOWNLOAD_DISK")

    def _url(self, file: HubFile) -> str:
        return f"{self.endpoint}/{self.source.repo}/resolve/{file.revision or self.source.revision}/{file.path}"

    # -- what the hub says of a file --------------------------------------------------------------------------------
    async def _described(self, client: httpx.AsyncClient, file: HubFile, place: Path) -> _Wanted:
        """Size and digest: the table's, else the hub's own, which are in the headers of its first answer."""
        if file.sha256:
            return _Wanted(file, place, file.size, file.sha256)
        answer = await client.head(self._url(file), follow_redirects=False)
        for _ in range(REDIRECTS):  # on the same host; elsewhere is the storage, which does not know what it should be
            target = answer.headers.get("Location", "")
            if not answer.is_redirect or not target.startswith("/") or target.startswith("//"):
                break
            answer = await client.head(answer.url.join(target), follow_redirects=False)
        if answer.status_code >= 400:
            raise self._refusal(file, answer.status_code)
        length = "" if answer.is_redirect else answer.headers.get("Content-Length", "")
        size = answer.headers.get("X-Linked-Size", length)
        etag = answer.headers.get("X-Linked-Etag", answer.headers.get("ETag", ""))
        digest = etag.removeprefix("W/").strip('"').lower()
        if not size.isdecimal() or not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", digest):
            raise self._damaged(f"the hub does not say what {file.name} should be")
        return _Wanted(file, place, int(size), digest)

    # -- one file ---------------------------------------------------------------------------------------------------
    async def _get(self, client: httpx.AsyncClient, wanted: _Wanted) -> None:
        with _locked(wanted.part) as stream:
            sha = await self._hash_of_what_is_there(stream, wanted.size)
            cut = ""
            for _ in range(ATTEMPTS):
                if stream.tell() == wanted.size:
                    break
                try:
                    await self._receive(client, wanted, stream, sha)
                except (httpx.ReadError, httpx.RemoteProtocolError) as exc:
                    cut = f" ({exc})" if str(exc) else ""
            arrived = stream.tell()
            if arrived < wanted.size:
                raise self._broken(f"only {arrived:,} of {wanted.size:,} bytes of {wanted.file.name} arrived{cut}")
            if not sha.is_(wanted.digest):
                wanted.part.unlink()
                raise self._damaged(f"{wanted.file.name} arrived with the wrong digest and was deleted")
            stream.flush()
            os.fsync(stream.fileno())
            os.replace(wanted.part, wanted.place)
        mark(wanted.place, sha.sha256.hexdigest())
        self.done += wanted.size

    async def _hash_of_what_is_there(self, stream: BinaryIO, size: int) -> _Hash:
        """Leaves `stream` where the next byte belongs."""
        sha = _Hash(size)
        stream.seek(0, os.SEEK_END)
        if stream.tell() > size:
            stream.truncate(0)
        stream.seek(0)
        while block := stream.read(BLOCK):
            sha.update(block)
            await asyncio.sleep(0)  # a gigabyte takes seconds, and a cancel must come through
        return sha

    async def _receive(self, client: httpx.AsyncClient, wanted: _Wanted, stream: BinaryIO, sha: _Hash) -> None:
        """One connection: append what comes. Raises what httpx raises when it is cut."""
        at = stream.tell()
        headers = {"Range": f"bytes={at}-"} if at else {}
        async with client.stream("GET", self._url(wanted.file), headers=headers) as answer:
            if answer.status_code == 416:  # the hub's file ends where ours does: too short
                return
            if answer.status_code >= 400:
                raise self._refusal(wanted.file, answer.status_code)
            if answer.status_code != 206:  # it knows no ranges: from the beginning
                stream.seek(0)
                stream.truncate()
                sha.restart()
            elif not answer.headers.get("Content-Range", "").startswith(f"bytes {at}-"):
                raise self._broken(f"the hub sent another piece of {wanted.file.name} than was asked for")
            async for block in answer.aiter_raw():
                if stream.tell() + len(block) > wanted.size:
                    wanted.part.unlink()
                    raise self._damaged(f"the hub sent more of {wanted.file.name} than it has")
                stream.write(block)
                sha.update(block)
                self.progress((self.done + stream.tell()) / self.total)

    # -- sentences --------------------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        """Foreign failures as one sentence each."""
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as exc:
            why = f" ({exc})" if str(exc) else ""
            sentence = f"No connection to {self.endpoint.partition('//')[2]} is possible from here{why}."
            raise WeightsError(f"{sentence} {self._by_hand()}", code="DOWNLOAD_OFFLINE") from exc
        except httpx.TimeoutException as exc:
            raise self._broken(f"nothing arrived for {STALL_S:.0f} s") from exc
        except (httpx.RequestError, httpx.InvalidURL) as exc:
            raise self._broken(f"{exc or type(exc).__name__}") from exc

    def _refusal(self, file: HubFile, status: int) -> WeightsError:
        if status in (401, 403):
            reason = f"The hub wants a login for {self.source.repo} ({status})"
        elif status == 404:
            reason = f"The hub has no {file.path} in {self.source.repo} at the revision AVATAR knows (404)"
        else:
            return self._broken(f"the hub answered {status}")
        return WeightsError(f"{reason}. {self._by_hand()}", code="DOWNLOAD_REFUSED")

    def _broken(self, reason: str) -> WeightsError:
        sentence = f"Getting {self.weight.name} broke off: {reason}. What has arrived is kept: try again."
        return WeightsError(sentence, code="DOWNLOAD_BROKEN")

    def _damaged(self, reason: str) -> WeightsError:
        return WeightsError(f"Getting {self.weight.name} failed: {reason}. Try again.", code="DOWNLOAD_DAMAGED")

    def _by_hand(self) -> str:
        return by_hand(self.weight, self.folder)


@functools.cache
def _certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # 20 ms, measured: once per process is enough


@contextlib.contextmanager
def _locked(part: Path) -> Iterator[BinaryIO]:
    """The beginning of a file, open for reading and writing, for this process only."""
    with open(os.open(part, os.O_RDWR | os.O_CREAT, 0o644), "r+b") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            if exc.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            sentence = f"Another process is getting {part.name.removesuffix(PART)} now. Wait for it."
            raise WeightsError(sentence, code="DOWNLOAD_BROKEN") from exc
        if part.exists() and os.path.samestat(os.fstat(stream.fileno()), part.stat()):
            try:
                yield stream
            finally:
                if stream.tell() == 0:  # nothing to go on with
                    part.unlink(missing_ok=True)
            return
    with _locked(part) as stream:  # another process has put in place, or removed, what was opened
        yield stream
