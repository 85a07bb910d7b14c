"""Files from a hub: whole and verified, or one sentence; what has arrived is never fetched twice."""

import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from hubs import REVISION, Hub

from avatar import weights
from avatar.errors import WeightsError
from avatar.weights import Cancel, Cancelled, hub
from avatar.weights.__main__ import main
from tests import hubs

MODEL = os.urandom(300_000)
VOCABULARY = b"hello\nworld\n"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with two files, known as `toy` (digests in the table) and `new` (digests left to the hub)."""
    with hubs.serving(Hub({"a/model.bin": MODEL, "vocabulary.txt": VOCABULARY})) as site:
        monkeypatch.setitem(weights.WEIGHTS, "toy", hubs.weight("toy", site))
        monkeypatch.setitem(weights.WEIGHTS, "new", hubs.weight("new", site, known=False))
        monkeypatch.setenv("HF_ENDPOINT", site.address)
        monkeypatch.setenv("NO_PROXY", "*")
        yield site


def refused(name: str, folder: Path) -> WeightsError:
    with pytest.raises(WeightsError) as failure:
        weights.fetch(name, folder)
    assert not weights.present(name, folder)
    return failure.value


@pytest.mark.parametrize("name", ["toy", "new"])
def test_every_file_arrives_whole_and_is_remembered(site: Hub, tmp_path: Path, name: str) -> None:
    seen: list[float] = []
    place = weights.fetch(name, tmp_path, seen.append)
    assert (place / "model.bin").read_bytes() == MODEL and (place / "vocabulary.txt").read_bytes() == VOCABULARY
    assert seen == sorted(seen) and seen[-1] == 1.0 and len(seen) > 3
    assert len(site.gets()) == 2 and not list(place.glob("*.part"))
    assert {path for _, path, _ in site.asked} >= {f"/org/repo/resolve/{REVISION}/a/model.bin"}
    marked = json.loads((place / "model.bin.verified").read_text())
    assert marked["sha256"] == hashlib.sha256(MODEL).hexdigest()
    site.asked.clear()
    assert weights.fetch(name, tmp_path) == place == weights.path(name, tmp_path) and not site.asked
    (place / "model.bin").write_bytes(MODEL[:-1] + b"x" if MODEL[-1:] != b"x" else MODEL[:-1] + b"y")
    assert not weights.intact(name, tmp_path)  # although the table does not know what "new" should be
    weights.fetch(name, tmp_path)
    assert site.gets() == [""] and (place / "model.bin").read_bytes() == MODEL


def test_cuts_are_resumed_where_they_were(site: Hub, tmp_path: Path) -> None:
    site.manners = ["cut 100000", "cut 50000", "cut 0"]
    place = weights.fetch("toy", tmp_path)
    assert (place / "model.bin").read_bytes() == MODEL
    assert site.gets() == ["", "bytes=100000-", "bytes=150000-", "bytes=150000-", ""]


def test_a_hub_that_always_cuts_is_given_up_and_its_bytes_are_kept(site: Hub, tmp_path: Path) -> None:
    site.manners = ["cut 1000"] * hub.ATTEMPTS
    error = refused("toy", tmp_path)
    assert "only 5,000 of 300,000 bytes of model.bin arrived" in error.sentence and error.code == "DOWNLOAD_BROKEN"
    assert weights.partial("toy", tmp_path) == 5000
    weights.fetch("toy", tmp_path)
    assert site.gets()[hub.ATTEMPTS :] == ["bytes=5000-", ""]


def test_a_file_that_is_short_on_the_hub_is_found(site: Hub, tmp_path: Path) -> None:
    site.manners = ["short 200000", 416, 416, 416, 416]
    assert "only 200,000 of 300,000" in refused("toy", tmp_path).sentence


def test_silence_ends_it(site: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "STALL_S", 0.5)  # the 4,000 bytes before it have as long
    site.manners = ["stall 4000"]
    error = refused("toy", tmp_path)
    assert "nothing arrived for" in error.sentence and "What has arrived is kept" in error.sentence
    assert weights.partial("toy", tmp_path) == 4000


def test_a_hub_that_knows_no_ranges_starts_again(site: Hub, tmp_path: Path) -> None:
    site.manners = ["cut 100000", "deaf"]
    place = weights.fetch("toy", tmp_path)
    assert (place / "model.bin").read_bytes() == MODEL and site.gets()[1] == "bytes=100000-"


@pytest.mark.parametrize("name", ["toy", "new"])
def test_other_bytes_are_deleted(site: Hub, tmp_path: Path, name: str) -> None:
    site.manners = ["wrong"]
    error = refused(name, tmp_path)
    assert "wrong digest" in error.sentence and error.code == "DOWNLOAD_DAMAGED"
    assert weights.partial(name, tmp_path) == 0
    weights.fetch(name, tmp_path)


@pytest.mark.parametrize(
    ("manners", "says"),
    [(["longer"], "more of model.bin than it has"), (["cut 1000", "shifted"], "another piece of model.bin")],
)
def test_what_was_not_asked_for_is_refused(site: Hub, tmp_path: Path, manners: list[str | int], says: str) -> None:
    site.manners = manners
    assert says in refused("toy", tmp_path).sentence


def test_a_part_longer_than_the_file_is_thrown_away(site: Hub, tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/model.bin.part").write_bytes(MODEL + b"x")
    assert (weights.fetch("toy", tmp_path) / "model.bin").read_bytes() == MODEL
    assert site.gets() == ["", ""]


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (401, "DOWNLOAD_REFUSED", "wants a login for org/repo"),
        (403, "DOWNLOAD_REFUSED", "wants a login for org/repo"),
        (404, "DOWNLOAD_REFUSED", "has no a/model.bin in org/repo"),
        (503, "DOWNLOAD_BROKEN", "answered 503"),
    ],
)
def test_a_refusal_is_one_sentence(site: Hub, tmp_path: Path, status: int, code: str, says: str) -> None:
    site.manners = [status]
    error = refused("toy", tmp_path)
    assert error.code == code and says in error.sentence
    if code == "DOWNLOAD_REFUSED":
        assert f"model.bin, vocabulary.txt of org/repo (revision {REVISION[:7]})" in error.sentence
        assert str(tmp_path / "toy") in error.sentence
    site.head = status
    assert says in refused("new", tmp_path).sentence


def test_a_hub_that_does_not_say_what_a_file_should_be(site: Hub, tmp_path: Path) -> None:
    site.digests = False
    assert "does not say what model.bin should be" in refused("new", tmp_path).sentence
    assert weights.fetch("toy", tmp_path)  # the table knows


def test_without_a_hub_one_sentence_at_once(
    site: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, and nobody listens
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        started = time.monotonic()
        for name in ("toy", "new"):
            error = refused(name, tmp_path)
            assert error.code == "DOWNLOAD_OFFLINE" and "No connection to 127.0.0.1:" in error.sentence
            assert "on any machine and put them into" in error.sentence
        assert not list(tmp_path.rglob("*.part"))
        assert time.monotonic() - started < hub.CONNECT_S
        assert main(["fetch", "toy", "--folder", str(tmp_path)]) == 1
        assert "No connection to" in capsys.readouterr().err


def test_a_host_that_never_answers_is_given_up_after_the_connection_time(
    site: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "CONNECT_S", 0.05)
    resolving, done = threading.Event(), threading.Event()

    def hang(*args: object, **more: object) -> list[object]:
        resolving.set()
        done.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.test")
    started = time.monotonic()
    assert refused("toy", tmp_path).code == "DOWNLOAD_OFFLINE"
    assert resolving.is_set() and time.monotonic() - started < 5  # it hangs for 10 s
    done.set()


def test_an_address_that_is_none(site: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "hub.test")
    assert refused("toy", tmp_path).code == "DOWNLOAD_BROKEN"


def test_a_full_disk_is_said_before_and_during(site: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = hub.SPARE + 200_000

    with monkeypatch.context() as patch:
        patch.setattr(hub.shutil, "disk_usage", lambda folder: Usage)
        error = refused("toy", tmp_path)
        assert error.code == "DOWNLOAD_DISK" and "has no room" in error.sentence and not site.gets()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hub.os, "fsync", full)
    error = refused("toy", tmp_path)
    assert error.code == "DOWNLOAD_DISK" and "the disk is full" in error.sentence
    assert weights.partial("toy", tmp_path) == len(MODEL)  # kept: only room is missing


@pytest.mark.parametrize("ends", ["in place", "removed"])
def test_a_part_that_another_process_has_just_finished_is_not_taken_for_our_own(
    site: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    lock, others = hub.fcntl.flock, {"model.bin.part", "vocabulary.txt.part"}

    def late(stream: BinaryIO, how: int) -> None:
        """The other one had the lock until now."""
        for part in (tmp_path / "toy").glob("*.part"):
            if part.name in others:
                others.remove(part.name)
                part.rename(part.with_suffix("")) if ends == "in place" else part.unlink()
        lock(stream, how)

    monkeypatch.setattr(hub.fcntl, "flock", late)
    place = weights.fetch("toy", tmp_path)
    assert (place / "model.bin").read_bytes() == MODEL and (place / "vocabulary.txt").read_bytes() == VOCABULARY
    assert not others and not list(place.glob("*.part"))


def test_cancel_ends_a_silence_at_once_and_the_next_fetch_goes_on(site: Hub, tmp_path: Path) -> None:
    site.manners = ["stall 4000"]
    cancel, arrived = Cancel(), threading.Event()
    failures: list[Exception] = []

    def get() -> None:
        try:
            weights.fetch("toy", tmp_path, lambda fraction: arrived.set(), cancel=cancel)
        except Cancelled as error:
            failures.append(error)

    thread = threading.Thread(target=get)
    thread.start()
    assert arrived.wait(5)
    with pytest.raises(WeightsError, match="Another process is getting model.bin now"):
        weights.fetch("toy", tmp_path)
    started = time.monotonic()
    cancel()
    thread.join(5)
    assert time.monotonic() - started < 4 and len(failures) == 1  # the silence lasts longer
    weights.fetch("toy", tmp_path)
    assert "bytes=4000-" in site.gets()


def test_what_was_cancelled_before_it_began_asks_nobody(site: Hub, tmp_path: Path) -> None:
    cancel = Cancel()
    cancel()
    with pytest.raises(Cancelled):
        weights.fetch("toy", tmp_path, cancel=cancel)
    assert not site.asked


def test_the_command_line_fetches_and_lists_them(site: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "toy", "--folder", str(tmp_path)]) == 0
    assert main(["list", "--folder", str(tmp_path)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("toy ")]
    assert "yes" in line and f"org/repo@{REVISION[:7]} (hub)" in line
