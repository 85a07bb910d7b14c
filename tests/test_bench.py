"""The bench's figures and bars, and (slow) the bench itself against the app."""

import json
import math
import subprocess
import sys
import time
from pathlib import Path

import pytest

from avatar.bench import report
from avatar.bench.__main__ import main
from avatar.bench.served import Watch, conditions


def test_a_lost_turn_is_infinite_and_null_in_json(tmp_path: Path) -> None:
    times = report.summary([100.0, 200.0, math.inf])
    assert times == {"n": 3, "p50": 200.0, "p95": math.inf, "p99": math.inf, "max": math.inf}
    report.write({"voice_to_voice_ms": times}, [report.Bar("P95", math.inf, 900)], tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["voice_to_voice_ms"]["max"] is None
    assert written["bars"] == [{"name": "P95", "value": None, "limit": 900, "met": False}]


@pytest.mark.parametrize(
    ("bar", "met"),
    [
        (report.Bar("a", 600.0, 600), True),
        (report.Bar("a", 600.1, 600), False),
        (report.Bar("a", 0.9, 1.0, least=True), False),
        (report.Bar("a", None, 1.0), None),
    ],
)
def test_bars(bar: report.Bar, met: bool | None) -> None:
    assert bar.met is met


def result(**more: object) -> dict[str, object]:
    times = report.summary([400.0, 500.0])
    found = {
        "voice_to_voice_ms": times,
        "sure_ms": times,
        "stages_ms": {"eot": times},
        "early_replies": 0.5,
        "merged": 1.0,
        "wer": 0.1,
        "errors": 0,
        "rss_mib": 900,
        "sessions": 1,
        "together": False,
        "engines": {"llm": "Fake"},
        "conditions": {"app_cores": 1, "bench_cores": 0, "others_cores": 0, "others_cores_before": 0, "load_average": 1}
        | conditions(),
        "warnings": ["others were busy"],
        "mid_pauses": [{"length_s": 0.4, "pauses": 2, "early": 1, "withdrawn_unheard": 0, "merged": True}],
    }
    return found | more


def test_the_table_says_which_bars_are_met_and_under_which_conditions() -> None:
    judged = report.bars(result())
    missed = [bar.name for bar in judged if bar.met is False]
    assert missed == ["early replies in mid-sentence pauses"]
    text = report.table(result(), judged)
    assert "WARNING: others were busy" in text
    assert "mid pauses of 0.4 s: 1 of 2 answered early" in text
    assert text.count("MISSED") == 1


@pytest.mark.parametrize(("together", "limits"), [(False, [800, 1500]), (True, [2500])])
def test_five_sessions_have_bars_of_their_own(together: bool, limits: list[int]) -> None:
    judged = report.bars(result(sessions=5, together=together))
    assert [bar.limit for bar in judged if bar.name.startswith("voice")] == limits


def test_one_session_cannot_stop_together(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["talk", "--together"])
    assert "--together needs" in capsys.readouterr().err


def test_clips_that_are_missing_end_the_bench_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["talk", "--clips", str(tmp_path)]) == 2
    assert "lacks jfk.flac" in capsys.readouterr().err


@pytest.mark.slow
def test_what_the_app_and_others_take_is_told_apart() -> None:
    burn = [sys.executable, "-c", "import time\nend = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass"]
    with subprocess.Popen(burn) as process:
        with Watch(process.pid) as watch:
            time.sleep(0.8)
        process.kill()
    shares = watch.shares()
    assert shares["app_cores"] > 0.05  # others may want the cores too
    assert shares["bench_cores"] < shares["app_cores"]
    assert watch.peak_mib >= 1


@pytest.mark.slow
@pytest.mark.long
def test_the_real_app_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three clips, two pauses and a full house: that they are answered, not how fast (other tests run beside it)."""
    assert main(["talk", "--quick", "--json", str(tmp_path / "out.json")]) == 0
    out = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert (out["turns"], out["sessions"]) == (3, 1)
    assert out["errors"] == 0
    assert out["wer"] < 0.4
    assert out["voice_to_voice_ms"]["n"] == 3
    assert out["voice_to_voice_ms"]["max"] is not None
    assert set(out["engines"]) == {"eot", "stt", "llm", "tts"}
    assert out["mid_pauses"][1]["pauses"] == 2
    assert out["server_full_ms"]["n"] == 20
    assert 100 < out["rss_mib"] < 1536
    assert "voice to voice, P50" in capsys.readouterr().out
