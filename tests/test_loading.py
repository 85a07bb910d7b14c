"""Loads that fail, come late or meet a rung that rests: none leaves a rung in a state that is not its own."""

import threading

import pytest
from fakes import Clock, FakeTTS

from avatar.engines.loading import RETRY_S
from avatar.errors import EngineError, EngineLoadError


def joined(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_a_load_that_fails_after_it_was_given_up_leaves_the_fresh_engine_in_use(make_pool):
    loading, go_on = threading.Event(), threading.Event()
    loads = []

    def load():
        loads.append(1)
        if len(loads) > 1:
            return FakeTTS()
        loading.set()
        go_on.wait(20)
        raise OSError("the disk has hung up")

    pool = make_pool({"good": ("tts", load)})
    good = pool.choose("tts")
    told = []

    def hang():
        try:
            pool.warm(good)
        except EngineLoadError as error:
            told.append(error.sentence)

    late = threading.Thread(target=hang)
    late.start()
    assert loading.wait(20)
    pool.fail(good, EngineError("It hangs.", stage="tts", engine="good"), hung=True)
    pool.warm(good)
    go_on.set()
    late.join(20)
    assert len(told) == 1
    assert pool.ready(good) and pool.choose("tts") is good and pool.status()[0].fraction is None


def test_who_asks_a_rung_that_rests_does_not_take_it_out_for_longer(make_pool):
    pool = make_pool({"best": ("tts", FakeTTS), "low": ("tts", FakeTTS)}, clock=Clock())
    best, low = pool.rungs("tts")
    pool.warm(low)
    pool.warm(best)
    assert pool.rest(best.name, "The graphics memory is full.")
    for _ in range(5):  # who speak have chosen it for the rest of their replies
        with pytest.raises(EngineLoadError, match="graphics memory"):
            pool.warm(best)
    pool.wake(best.name)
    assert pool.status()[0].state == "cold"
    pool.warm(best)
    assert pool.choose("tts") is best


class Counted:
    """A lock that knows how many have come to it."""

    def __init__(self) -> None:
        self._lock, self.came = threading.Lock(), threading.Semaphore(0)

    def acquire(self, timeout: float) -> bool:
        self.came.release()
        return self._lock.acquire(timeout=timeout)

    def release(self) -> None:
        self._lock.release()


def test_who_waited_for_a_load_that_fails_does_not_begin_it_again(make_pool):
    clock, lock = Clock(), Counted()
    loads = []

    def load():
        loads.append(1)
        for _ in range(5 if len(loads) == 1 else 0):
            assert lock.came.acquire(timeout=20)
        raise OSError

    pool = make_pool({"bad": ("tts", load)}, clock=clock)
    bad = pool.choose("tts")
    pool._slots["bad"].loading = lock
    told = []

    def use():
        try:
            pool.warm(bad)
        except EngineLoadError as error:
            told.append(error.sentence)

    joined([threading.Thread(target=use) for _ in range(5)])
    assert len(loads) == 1 and told == ["Bad: OSError while loading."] * 5
    clock.now += RETRY_S
    assert pool.choose("tts") is bad  # one failure, and not five: again after a minute, and not after half an hour


def test_a_load_that_ends_after_the_pool_was_closed_is_freed(make_pool):
    loading, go_on = threading.Event(), threading.Event()
    engine = FakeTTS()

    def load():
        loading.set()
        go_on.wait(20)
        return engine

    pool = make_pool({"good": ("tts", load), "low": ("tts", FakeTTS)})
    good, low = pool.rungs("tts")

    def use():
        with pytest.raises(EngineLoadError):
            pool.warm(good)

    late = threading.Thread(target=use)
    late.start()
    assert loading.wait(20)
    pool.close()
    go_on.set()
    late.join(20)
    assert engine.trouble.closed == 1 and not pool.ready(good)
    with pytest.raises(EngineLoadError, match="being closed"):  # a turn that still runs steps down to nothing new
        pool.warm(low)
