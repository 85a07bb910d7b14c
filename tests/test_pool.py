import asyncio
import threading
import time

import pytest
from fakes import FakeTTS, rung

from avatar.engines.base import OWN_VOICE, Abilities
from avatar.engines.calls import Calls, Timeouts
from avatar.engines.catalog import CATALOG
from avatar.engines.loading import RETRY_S
from avatar.engines.pool import EnginePool
from avatar.engines.slots import Copy, Instance
from avatar.errors import EngineError, EngineLoadError, NoEngine, SettingsError
from avatar.settings import Settings


def error(name: str = "good") -> EngineError:
    return EngineError("It broke.", stage="tts", engine=name)


def test_eight_callers_share_one_load(make_pool):
    loads = []

    def slow_load():
        loads.append(1)
        time.sleep(0.05)
        return FakeTTS()

    pool = make_pool({"good": ("tts", slow_load)})
    engines = []

    def use():
        with pool.lease(pool.choose("tts")) as engine:
            engines.append(engine)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(loads) == 1
    assert len({id(engine) for engine in engines}) == 1 and len(engines) == 8


def test_only_parallel_callers_are_inside(make_pool):
    pool = make_pool({"good": ("tts", FakeTTS())})
    inside, most = 0, 0
    lock = threading.Lock()

    def use():
        nonlocal inside, most
        with pool.lease(pool.choose("tts")):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.01)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert most == 1


def test_who_is_awaited_in_silence_goes_before_those_who_came_earlier(make_pool):
    pool = make_pool({"good": ("tts", FakeTTS())})
    rung, said, threads = pool.choose("tts"), [], []
    instance = None

    def use(name, urgent):
        with pool.lease(rung, urgent):
            said.append(name)

    with pool.lease(rung):
        instance = pool.instance(rung)
        for number, (name, urgent) in enumerate([("a", False), ("b", False), ("first", True), ("second", True)], 1):
            threads.append(threading.Thread(target=use, args=(name, urgent), daemon=True))
            threads[-1].start()
            deadline = time.monotonic() + 20
            while len(instance._line) < number and time.monotonic() < deadline:
                time.sleep(0.001)
    for thread in threads:
        thread.join(5)
    assert said == ["first", "second", "a", "b"]


def test_an_engine_that_can_be_interrupted_takes_one_urgent_caller_more():
    row, inside, go_on = rung("good", "tts"), [], threading.Event()
    instance = Instance(Copy(FakeTTS()), 1, 1)

    def use(name, urgent):
        copy = instance.acquire(row, urgent)
        inside.append(name)
        go_on.wait(5)
        instance.release(copy)

    threads = []
    for number, (name, urgent) in enumerate([("a", False), ("b", False), ("first", True), ("second", True)], 1):
        threads.append(threading.Thread(target=use, args=(name, urgent), daemon=True))
        threads[-1].start()
        deadline = time.monotonic() + 20
        while len(inside) + len(instance._line) < number and time.monotonic() < deadline:
            time.sleep(0.001)
    assert inside == ["a", "first"]
    go_on.set()
    for thread in threads:
        thread.join(5)
    assert inside == ["a", "first", "second", "b"]


async def test_what_nobody_wants_any_more_leaves_the_line(make_pool):
    pool = make_pool({"good": ("tts", tts := FakeTTS())})
    chosen, calls = pool.choose("tts"), Calls(pool, Timeouts(), lambda event: None)
    with pool.lease(chosen):
        line = pool.instance(chosen)._line
        said = calls.run("tts", lambda engine: engine.speak("Hello.", OWN_VOICE, "en"))
        waiting = asyncio.create_task(anext(said))
        async with asyncio.timeout(5):
            while not line:  # noqa: ASYNC110 - a thread's
                await asyncio.sleep(0.001)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await said.aclose()
            while line:  # noqa: ASYNC110 - a thread's
                await asyncio.sleep(0.001)
    assert [chunk async for chunk in calls.run("tts", lambda engine: engine.speak("Yes.", OWN_VOICE, "en"))]
    assert tts.said == ["Yes."]


def test_a_failed_load_is_failed_with_its_sentence_and_retried_later(make_pool):
    now = [100.0]
    tries = []

    def load():
        tries.append(1)
        if len(tries) == 1:
            raise OSError("no such file")
        return FakeTTS()

    pool = make_pool({"bad": ("tts", load)}, clock=lambda: now[0])
    with pytest.raises(EngineLoadError, match="Bad"):
        pool.warm(pool.choose("tts"))
    assert pool.status()[0].state == "failed"
    assert "no such file" not in pool.status()[0].sentence  # an exception's text may hold anything
    with pytest.raises(NoEngine):
        pool.choose("tts")
    now[0] += RETRY_S
    pool.warm(pool.choose("tts"))
    assert pool.status()[0].state == "ready"


def test_chooses_the_best_ready_rung_and_the_lowest_when_none_is_ready(make_pool):
    pool = make_pool({"best": ("tts", FakeTTS()), "low": ("tts", FakeTTS())})
    assert pool.choose("tts").name == "low"
    pool.warm(pool.choose("tts"))
    assert pool.choose("tts").name == "low"
    pool.warm(pool.below(pool.choose("tts")))
    assert pool.choose("tts").name == "best"


def test_steps_down_and_comes_back(make_pool):
    now = [0.0]
    pool = make_pool({"best": ("tts", FakeTTS()), "low": ("tts", FakeTTS())}, clock=lambda: now[0])
    best = pool.below(pool.choose("tts"))
    pool.warm(best)
    pool.fail(best, error())
    assert pool.below(best).name == "low"
    assert pool.choose("tts").name == "low"
    now[0] += RETRY_S
    pool.warm(best)
    assert pool.choose("tts").name == "best"


def test_first_hang_costs_the_instance_second_the_rung(make_pool):
    engine = FakeTTS()
    pool = make_pool({"good": ("tts", lambda: engine)})
    good = pool.choose("tts")
    pool.warm(good)
    pool.fail(good, error(), hung=True)
    assert pool.choose("tts") is good  # a fresh instance
    pool.warm(good)
    pool.fail(good, error(), hung=True)
    with pytest.raises(NoEngine):
        pool.choose("tts")


def test_five_callers_of_one_broken_engine_make_one_failure(make_pool):
    now = [0.0]
    pool = make_pool({"good": ("tts", FakeTTS)}, clock=lambda: now[0])
    good = pool.choose("tts")
    with pool.lease(good) as engine:
        instance = pool.instance(good)
        for _ in range(5):
            assert not pool.fail(good, error(), engine=engine, instance=instance)
    now[0] += RETRY_S
    assert pool.choose("tts") is good


def test_who_fails_late_leaves_the_fresh_instance_alone(make_pool):
    pool = make_pool({"good": ("tts", FakeTTS)})
    good = pool.choose("tts")
    pool.warm(good)
    before = pool.instance(good)
    assert not pool.fail(good, error(), hung=True, instance=before)
    pool.warm(good)
    fresh = pool.instance(good)
    assert pool.fail(good, error(), hung=True, instance=before)  # it can serve whoever met the one that hung
    assert pool.instance(good) is fresh and pool.choose("tts") is good


def test_those_who_wait_for_a_failed_instance_are_told(make_pool):
    pool = make_pool({"good": ("tts", FakeTTS())})
    good = pool.choose("tts")
    told = []

    def wait():
        try:
            with pool.lease(good):
                told.append("leased")
        except EngineLoadError:
            told.append("told")

    with pool.lease(good):
        waiter = threading.Thread(target=wait)
        waiter.start()
        deadline = time.monotonic() + 20
        while not pool.instance(good)._line and time.monotonic() < deadline:
            time.sleep(0.001)
        pool.fail(good, error(), hung=True)
        waiter.join(5)
    assert told == ["told"]


def test_warms_in_the_background_and_never_dies_of_a_bad_engine(make_pool):
    def broken():
        raise RuntimeError

    pool = make_pool({"bad": ("tts", broken), "low": ("tts", FakeTTS()), "ears": ("stt", FakeTTS())})
    pool.start()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and {s.state for s in pool.status()} != {"ready", "failed"}:
        time.sleep(0.01)
    assert {s.name: s.state for s in pool.status()} == {"ears": "ready", "bad": "failed", "low": "ready"}
    assert [s.name for s in pool.status() if s.serving] == ["ears", "low"]
    pool.close()


def test_what_is_not_installed_is_said(settings):
    pool = EnginePool(settings, [rung("ghost", "tts", package="no_such_package_here")])
    assert pool.status()[0].state == "absent"
    assert "no_such_package_here" in pool.status()[0].sentence
    with pytest.raises(NoEngine, match="no_such_package_here"):
        pool.choose("tts")


def test_what_make_run_does_not_install_says_how(settings):
    pool = EnginePool(settings, [rung("ghost", "tts", package="no_such_package_here", install="make voice")])
    assert pool.status()[0].sentence.endswith("Get it with: make voice")


def test_a_rung_is_passed_over_for_a_language_it_does_not_know(settings):
    rows = [rung("natural", "tts", languages=("en", "de")), rung("plain", "tts")]
    natural, plain = rows
    pool = EnginePool(settings, rows, lambda *_: FakeTTS())
    for row in rows:
        pool.warm(row)
    assert [pool.choose("tts", tag) for tag in (None, "en", "de-AT", "DE")] == [natural] * 4
    assert pool.choose("tts", "zh-TW") == plain
    assert pool.below(natural, "zh") == plain
    with pytest.raises(NoEngine, match="Natural does not know this language .zh.") as refusal:
        pool.below(plain, "zh")
    assert refusal.value.code == "NOT_ITS_LANGUAGE"


def test_what_the_loaded_weights_can_do_wins_over_the_row(settings):
    row = rung("natural", "tts", languages=("en", "de"))
    engine = FakeTTS()
    engine.abilities = Abilities(("de",), clones=True, voices=("juergen",))
    pool = EnginePool(settings, [row], lambda *_: engine)
    assert pool.status()[0].languages == ("en", "de") and not pool.status()[0].clones
    assert pool.choose("tts", "en") == row
    pool.warm(row)
    seen = pool.status()[0]
    assert (seen.languages, seen.clones, seen.voices) == (("de",), True, ("juergen",))
    with pytest.raises(NoEngine, match="AVATAR_TTS=auto"):
        pool.choose("tts", "en")


def test_an_unknown_engine_stops_the_start_with_the_choices(tmp_path):
    with pytest.raises(SettingsError, match="AVATAR_TTS=siri .* auto, cosyvoice, f5, pocket, espeak"):
        EnginePool(Settings(tts="siri", data=tmp_path, weights=tmp_path))


def test_the_catalog_declares_what_the_page_shows():
    for row in CATALOG:
        assert row.languages and row.licence and row.memory_mib > 0
    assert {row.stage for row in CATALOG} == {"stt", "llm", "tts"}
