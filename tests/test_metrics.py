import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.metrics import Metrics, Stage, percentile, ram


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([15, 20, 35, 40, 50], 30, 20),  # the example of nearest rank in Wikipedia, "Percentile"
        ([15, 20, 35, 40, 50], 40, 20),
        ([15, 20, 35, 40, 50], 50, 35),
        ([15, 20, 35, 40, 50], 100, 50),
        ([3], 95, 3),
        ([2, 1], 50, 1),
        (list(range(100, 0, -1)), 95, 95),
        ([1, 2], 0, 1),
    ],
)
def test_percentile_is_the_nearest_rank(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 100))
def test_a_percentile_happened_and_covers_its_share(values: list[float], percent: float) -> None:
    value = percentile(values, percent)
    assert value in values
    assert sum(v <= value for v in values) >= len(values) * percent / 100 - 1e-9


def test_a_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


def test_a_snapshot_counts_each_stage_by_the_turns_that_reached_it() -> None:
    metrics = Metrics()
    assert metrics.snapshot().stages == {}
    for ms in range(1, 101):
        metrics.turn({"stt": ms, "llm": 2 * ms}, {"stt": "moonshine"}, "done")
    metrics.turn({"stt": 1000}, {"stt": "moonshine"}, "failed")
    metrics.refusal("SERVER_FULL")
    snapshot = metrics.snapshot()
    assert snapshot.stages == {"stt": Stage(101, 51, 96), "llm": Stage(100, 100, 190)}
    assert snapshot.outcomes == {"done": 100, "failed": 1}
    assert snapshot.refusals == {"SERVER_FULL": 1}


def test_the_window_is_bounded_and_the_counts_are_not() -> None:
    metrics = Metrics(window=3)
    for ms in range(10):
        metrics.turn({"total": ms}, {}, "done")
    assert metrics.snapshot().stages["total"] == Stage(3, 8, 9)
    assert metrics.snapshot().outcomes == {"done": 10}
    assert [turn.number for turn in metrics.recent(2)] == [9, 10]
    assert [turn.timings_ms["total"] for turn in metrics.recent(30)] == [7, 8, 9]
    assert metrics.recent(0) == []


def test_what_was_recorded_does_not_change_afterwards() -> None:
    metrics, timings = Metrics(), {"stt": 5.0}
    metrics.turn(timings, {}, "done")
    timings["stt"] = 99
    assert metrics.recent(1)[0].timings_ms == {"stt": 5.0}


def test_many_threads_lose_no_count() -> None:
    metrics = Metrics()

    def record(_: int) -> None:
        metrics.turn({"stt": 1}, {}, "done")
        metrics.refusal("SERVER_FULL")
        metrics.snapshot()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(record, range(400)))
    assert metrics.snapshot().outcomes == {"done": 400}
    assert metrics.snapshot().refusals == {"SERVER_FULL": 400}
    assert sorted(turn.number for turn in metrics.recent(500)) == list(range(1, 401))


def test_ram_counts_children() -> None:
    before, total = ram()
    hold = "import sys; held = bytearray(b'x' * (64 << 20)); print(flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", hold], **pipes) as child:
        assert child.stdout is not None and child.stdin is not None
        child.stdout.readline()
        during, _ = ram()
        child.stdin.close()
    assert during - before > 64 << 20
    assert before < total <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 1.01
