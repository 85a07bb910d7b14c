"""The simulation against what can be reckoned by hand."""

from pathlib import Path

import pytest
import simpy

from avatar.bench import capacity
from avatar.bench.costs import Costs, Trace, _beside, ends_of, of_turns
from avatar.bench.queueing import Machine, simulate

STAGES = ("stt", "llm", "tts")


def costs(slow: float = 1.0, **more: object) -> Costs:
    """Everything takes twice as long beside one other call, by default."""
    trace = Trace(2.0, 160.0, 10.0, 80.0, 100.0, 300.0, ((10.0, 1.0), (20.0, 2.0)))
    given = {
        "engines": {},
        "parallel": {"stt": 2, "llm": 64, "tts": 1},
        "slowdown": {a: dict.fromkeys(STAGES, slow) for a in STAGES},
        "traces": (trace,),
        "conditions": {},
    }
    return Costs(**{**given, **more})  # type: ignore[arg-type]


def over(known: Costs, *calls: tuple[float, str, float]) -> list[float]:
    """When each call (start s, stage, work ms) is done, in ms."""
    env = simpy.Environment()
    machine, done = Machine(env, known), [0.0] * len(calls)

    def one(number: int, start_s: float, stage: str, work_ms: float):
        yield env.timeout(start_s)
        yield machine.call(stage, work_ms)
        done[number] = env.now * 1000

    for number, call in enumerate(calls):
        env.process(one(number, *call))
    env.run(until=60)
    return [round(ms, 3) for ms in done]


@pytest.mark.parametrize(
    ("calls", "done"),
    [
        ([(0.0, "llm", 100)], [100]),
        ([(0.0, "llm", 100), (0.0, "llm", 100)], [200, 200]),
        ([(0.0, "llm", 100), (0.05, "llm", 100)], [150, 200]),  # 50 alone, 50 at half speed; then 50 at half, 50 alone
        ([(0.0, "llm", 100), (0.0, "stt", 50)], [150, 100]),
        ([(0.0, "tts", 100), (0.0, "tts", 100)], [100, 200]),  # one after the other
        ([(0.0, "stt", 90), (0.0, "stt", 90), (0.0, "stt", 90)], [180, 180, 270]),
    ],
)
def test_calls_share_a_machine(calls: list[tuple[float, str, float]], done: list[float]) -> None:
    assert over(costs(), *calls) == done


def test_engines_that_do_not_slow_each_other_run_side_by_side() -> None:
    assert over(costs(0.0), (0.0, "llm", 100), (0.0, "llm", 100), (0.0, "stt", 100)) == [100, 100, 100]


def test_somebody_alone_waits_for_the_sum_of_the_parts() -> None:
    heard = simulate(costs(0.0), talkers=1, machines=1)
    assert len(heard.first_ms) > 20 and heard.gaps == 0
    assert all(time == pytest.approx(160 + 10 + 80 + 100 + 10) for time in heard.first_ms)


def test_more_people_wait_longer_and_more_machines_help() -> None:
    one, many, helped = (capacity.loaded(costs(), *load) for load in ((2, 1), (24, 1), (24, 4)))
    assert one.p95_ms < helped.p95_ms < many.p95_ms


def test_seats_are_the_most_that_keep_the_bound() -> None:
    most, tried = capacity.seats(costs(), 1, 1000)
    assert 4 < most < 30
    assert all((load.p95_ms <= 1000) == (load.talkers <= most) for load in tried)
    assert capacity.seats(costs(), 1, 1)[0] == 0


def test_a_fleet_is_machines_for_people_and_fronts_for_their_sockets() -> None:
    made = capacity.fleet({1: 10.0, 2: 12.0, 4: 12.5}, 1000, front_cores=0.05, cores=2)
    assert made == {"people": 1000, "machines": 80, "fronts": 42}  # 24 talkers a front: 0.6 of 2 cores
    assert capacity.fleet({1: 0.0}, 100, 0.0, 2) == {"people": 100, "machines": -1, "fronts": 2}


def test_costs_are_kept_as_they_were_measured(tmp_path: Path) -> None:
    made = costs(conditions={"cpu": "x"})
    made.write(tmp_path / "costs.json")
    assert Costs.read(tmp_path / "costs.json") == made


def test_the_ends_of_turns_come_from_a_talk_bench() -> None:
    good = {"error": "", "stages_ms": {"eot": 160.0, "rest": 20.0, "stt": 1.0}}
    assert ends_of({"detail": {"turns": [good, {"error": "lost", "stages_ms": {}}]}}) == [(160.0, 20.0)]
    assert ends_of({"detail": [good]}) == [(160.0, 20.0)]


def test_turns_of_a_card_become_traces() -> None:
    turn = {
        "error": "",
        "said": "Hello there, my friend.",
        "reply": "Yes, of course. That is a much longer sentence than the first.",
        "stages_ms": {"eot": 160.0, "rest": 20.0, "stt": 60.0, "llm": 50.0, "tts": 40.0},
    }
    made = of_turns({"engines": {}, "detail": [turn, {**turn, "error": "lost"}]}, {})
    (trace,) = made.traces
    assert (trace.eot_ms, trace.stt_ms, trace.first_ms, trace.clauses[0][0]) == (160.0, 60.0, 50.0, 40.0)
    assert len(trace.clauses) > 1 and trace.clauses[-1][0] > 40 and trace.llm_ms > 150


def test_what_does_not_disturb_slows_nothing_down() -> None:
    from time import sleep

    assert _beside(lambda seat: sleep(0.05), lambda seat: sleep(0.01)) < 0.5


@pytest.mark.slow  # imports matplotlib
def test_the_command_prints_a_line_for_each_number_of_people(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avatar.bench.capacity.POOLS", (1, 2))
    monkeypatch.setattr("avatar.bench.queueing.RUN_S", 20.0)
    costs().write(tmp_path / "costs.json")
    picture, found = tmp_path / "plot.png", tmp_path / "found.json"
    assert capacity.main([str(tmp_path / "costs.json"), "--plot", str(picture), "--json", str(found)]) == 0
    said = capsys.readouterr().out
    assert "1,000,000 talk:" in said and said.startswith("1 machine(s):")
    assert picture.read_bytes().startswith(b"\x89PNG") and found.stat().st_size > 100
