"""The downloads of a process, and the buttons that start, stop and resume them."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from fakes import FakeTTS, rung
from page_fakes import ENGLISH, FakeAssistant, owner_of
from page_rows import WHISPER

import app as application
from avatar import weights
from avatar.engines.pool import EnginePool
from avatar.errors import NotFound, WeightsError
from avatar.settings import Settings
from avatar.ui import ladder
from avatar.ui.ladder import LadderEvents
from avatar.weights import Cancel, Cancelled, HubFile, HubFiles, Weight
from avatar.weights.downloads import Downloads

MB = 1_000_000
LACKING: Any = replace(WHISPER, lacks=("toy",))


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("toy", "other"):
        source = HubFiles("org/repo", "c0ffee1234", (HubFile(f"{name}.bin", 200 * MB, "0" * 64),))
        monkeypatch.setitem(weights.WEIGHTS, name, Weight(name, source, "MIT", "a test"))


class Fetch:
    """A fetch that the test lets arrive, fail or hang; it keeps half in a part when it is cancelled."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.half, self.go_on = threading.Event(), threading.Event()
        self.error: WeightsError | None = None

    def __call__(self, name: str, folder: Path, progress: Callable[[float], None], *, cancel: Cancel) -> None:
        self.began.append(name)
        progress(0.5)
        self.half.set()
        with cancel.by(self.go_on.set):
            assert self.go_on.wait(20)
        if cancel.asked:
            self.go_on.clear()
            with (folder / f"{name}.bin.part").open("ab") as part:  # what an earlier one left is never gone
                part.truncate(100 * MB)  # sparse: costs no disk
            raise Cancelled("Stopped.")
        if self.error:
            raise self.error


def ended(downloads: Downloads, name: str = "toy") -> None:
    for _ in range(2000):
        if downloads.look(name).state != "getting":
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not end")


def test_who_asks_twice_gets_one_download(tmp_path: Path) -> None:
    fetch, done = Fetch(), threading.Event()
    downloads = Downloads(tmp_path, on_done=done.set, fetch=fetch)
    assert downloads.look("toy").state == "missing" and downloads.look("toy").size == 200 * MB
    downloads.start("toy")
    assert fetch.half.wait(20)
    downloads.start("toy")
    assert (downloads.look("toy").state, downloads.look("toy").done) == ("getting", 100 * MB)
    fetch.go_on.set()
    assert done.wait(20) and fetch.began == ["toy"]
    with pytest.raises(WeightsError, match="no weights called"):
        downloads.start("../../etc/passwd")
    downloads.stop("nosuch")


def test_stop_keeps_what_arrived_and_start_goes_on(tmp_path: Path) -> None:
    fetch = Fetch()
    downloads = Downloads(tmp_path, fetch=fetch)
    downloads.start("toy")
    assert fetch.half.wait(20)
    downloads.stop("toy")
    downloads.start("toy")  # at once: the first is still putting its file away
    for _ in range(2000):
        if len(fetch.began) == 2:
            break
        threading.Event().wait(0.01)
    assert fetch.began == ["toy", "toy"] and downloads.look("toy").state == "getting"
    downloads.stop("toy")
    for _ in range(2000):
        if downloads.look("toy").done:
            break
        threading.Event().wait(0.01)
    assert downloads.look("toy") == Downloads(tmp_path).look("toy")  # a new process finds it too
    assert (downloads.look("toy").state, downloads.look("toy").done) == ("stopped", 100 * MB)


def test_a_failure_stays_until_the_next_start(tmp_path: Path) -> None:
    fetch = Fetch()
    fetch.error = WeightsError("No hub.", code="DOWNLOAD_OFFLINE")
    fetch.go_on.set()
    downloads = Downloads(tmp_path, fetch=fetch)
    downloads.start("toy")
    ended(downloads)
    assert downloads.look("toy").state == "failed" and downloads.look("toy").error is fetch.error
    fetch.go_on.clear()
    downloads.start("toy")
    assert downloads.look("toy").state == "getting"
    downloads.close()


def test_close_ends_every_download_and_starts_no_more(tmp_path: Path) -> None:
    fetch = Fetch()
    downloads = Downloads(tmp_path, "auto", fetch=fetch)
    downloads.start_missing(["toy", "other"])
    assert fetch.half.wait(20)
    downloads.close()
    assert downloads.look("toy").state == "stopped" and fetch.began == ["toy"]
    downloads.start("other")
    assert downloads.look("other").state == "missing"


def test_auto_gets_one_after_the_other_and_ask_none(tmp_path: Path) -> None:
    asked, fetch, arrived = Fetch(), Fetch(), threading.Semaphore(0)
    Downloads(tmp_path, "ask", fetch=asked).start_missing(["toy"])
    fetch.go_on.set()
    downloads = Downloads(tmp_path, "auto", on_done=arrived.release, fetch=fetch)
    downloads.start_missing(["toy", "other"])
    assert arrived.acquire(timeout=20) and arrived.acquire(timeout=20)
    assert fetch.began == ["toy", "other"] and asked.began == []


def test_never_means_never_and_says_how(tmp_path: Path) -> None:
    downloads = Downloads(tmp_path, "never", fetch=Fetch())
    downloads.start_missing(["toy"])
    with pytest.raises(WeightsError, match=rf"toy.bin of org/repo \(revision c0ffee1\).*{tmp_path}"):
        downloads.start("toy")
    row = ladder.row(LACKING, downloads, "zh-TW")
    assert "<button" not in row and "toy.bin of org/repo" in row and "下載已關閉" in row


def test_never_holds_for_the_first_start_too(tmp_path: Path) -> None:
    said: list[str] = []
    application.fetch_weights(Settings(weights=tmp_path, download="never"), said.append)
    missing = [
        name for name in weights.GROUPS["bundled"] if not weights.complete(name, tmp_path)
    ]  # not what pip brings
    assert len(said) == len(missing) >= 3 and all("AVATAR_DOWNLOAD=never. Fetch the file" in line for line in said)
    assert list(tmp_path.iterdir()) == []


# -- with the pool ----------------------------------------------------------------------------------------------------


def pool_lacking_toy(folder: Path) -> EnginePool:
    catalog = [replace(rung("better", "tts"), weights=("toy",)), rung("lowest", "tts")]
    return EnginePool(Settings(weights=folder), catalog, lambda *_: FakeTTS())


def test_the_pool_warms_what_has_arrived_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_lacking_toy(tmp_path)
    pool.start()
    try:
        better, lowest = pool.status()
        assert (better.state, better.lacks, lowest.lacks) == ("absent", ("toy",), ())
        assert "avatar.weights fetch toy" in better.sentence
        content = HubFiles("org/repo", "c0ffee1234", (HubFile("toy.bin", 3),))
        monkeypatch.setitem(weights.WEIGHTS, "toy", Weight("toy", content, "MIT", "a test"))
        (tmp_path / "toy.bin").write_bytes(b"new")
        pool.look_again()
        for _ in range(2000):
            if pool.ready(pool.choose("tts")) and pool.choose("tts").name == "better":
                break
            threading.Event().wait(0.01)
        assert pool.status()[0].serving and pool.status()[0].lacks == ()
    finally:
        pool.close()


def test_try_now_does_not_wait_for_the_retry_time(tmp_path: Path) -> None:
    tries = threading.Semaphore(0)

    def load(*_: object) -> FakeTTS:
        tries.release()
        raise OSError("still broken")

    pool = EnginePool(Settings(weights=tmp_path), [rung("bad", "tts")], load)
    pool.start()
    try:
        assert tries.acquire(timeout=20)
        for _ in range(2000):
            if pool.status()[0].state == "failed":
                break
            threading.Event().wait(0.01)
        assert not tries.acquire(timeout=0.05)
        pool.retry("bad")
        assert tries.acquire(timeout=20)
    finally:
        pool.close()
    with pytest.raises(NotFound):
        pool.retry("nosuch")


# -- the page ---------------------------------------------------------------------------------------------------------


def pressed(act: object, name: object = "toy") -> Any:
    return SimpleNamespace(_data={"act": act, "name": name})


def assistant_with(fetch: Fetch, folder: Path, mode: str = "ask") -> Any:
    assistant: Any = FakeAssistant()
    assistant.downloads = Downloads(folder, mode, fetch=fetch)
    return assistant


def test_the_row_goes_from_get_to_cancel_to_resume(tmp_path: Path) -> None:
    fetch = Fetch()
    assistant = assistant_with(fetch, tmp_path)
    on = LadderEvents(assistant, owner_of)

    def row(language: str = "en") -> str:
        return ladder.row(LACKING, assistant.downloads, language)

    assert 'data-act="get" data-name="toy"' in row() and "Get, 200 MB" in row() and "MIT" in row()
    assert 'aria-label="下載，200 MB: faster-whisper base"' in row("zh-TW")
    on.act(pressed("get"), ENGLISH)
    assert fetch.half.wait(20)
    assert "Getting 50 %" in row() and "100 of 200 MB" in row() and 'data-act="cancel"' in row()
    assert 'aria-valuenow="50"' in row()
    on.act(pressed("cancel"), ENGLISH)
    for _ in range(2000):
        if "Resume" in row():
            break
        threading.Event().wait(0.01)
    assert "Resume, 100 MB left" in row() and "100 of 200 MB are here" in row()
    fetch.error = WeightsError("No connection is possible from here.", code="DOWNLOAD_OFFLINE")
    on.act(pressed("get"), ENGLISH)
    fetch.go_on.set()
    ended(assistant.downloads)
    assert "No connection is possible" in row() and "Could not be fetched" in row() and "Resume" in row()
    assert "連不到模型庫" in row("zh-TW")


def test_a_failed_rung_can_be_tried_now(tmp_path: Path) -> None:
    assistant = assistant_with(Fetch(), tmp_path)
    failed: Any = replace(WHISPER, state="failed", sentence="Out of memory.")
    row = ladder.row(failed, assistant.downloads, "en")
    assert 'data-act="retry" data-name="whisper"' in row and "Try now" in row
    LadderEvents(assistant, owner_of).act(pressed("retry", "whisper"), ENGLISH)
    assert assistant.pool.retried == ["whisper"]


def test_only_the_operator_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch, warned = Fetch(), []
    monkeypatch.setattr(gr, "Warning", lambda sentence, **_: warned.append(sentence))
    assistant = assistant_with(fetch, tmp_path)
    assistant.settings = Settings(host="0.0.0.0", auth="ann:secret")

    def nobody(request: object) -> str:
        raise NotFound("Log in first.", code="LOGIN")

    for owner in (nobody, lambda request: "bob"):
        for act in ("get", "cancel", "retry"):
            LadderEvents(assistant, owner).act(pressed(act), ENGLISH)
    assert warned == ["Log in first."] * 3 + ["Only the operator of this AVATAR can do that."] * 3
    assert fetch.began == [] and assistant.pool.retried == []
    LadderEvents(assistant, lambda request: "ann").act(pressed("get"), ENGLISH)
    assert fetch.half.wait(20)
    assistant.downloads.close()


@pytest.mark.parametrize(
    "data", [None, [], {"act": "get"}, {"act": "get", "name": {"x": 1}}, {"act": "rm", "name": "toy"}]
)
def test_what_a_page_makes_up_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: object) -> None:
    fetch = Fetch()
    monkeypatch.setattr(gr, "Warning", lambda sentence, **_: None)
    LadderEvents(assistant_with(fetch, tmp_path), owner_of).act(SimpleNamespace(_data=data), ENGLISH)  # type: ignore[arg-type]
    assert fetch.began == []
