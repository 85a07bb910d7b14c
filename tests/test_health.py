import base64
from dataclasses import replace

import pytest
from assistants import make_assistant, put_away
from fakes import FakeLLM
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.testclient import TestClient

from avatar.errors import EngineLoadError
from avatar.gpu import Gpu, GpuMemory
from avatar.guests import Guests
from avatar.health import health_routes
from avatar.owners import owners
from avatar.throttle import Throttle


def no_driver():
    raise OSError("libnvidia-ml.so.1: cannot open shared object file")


@pytest.fixture
def served(settings, make_pool):
    """served(settings): (assistant, client of its routes)."""
    made = []

    def make(changed=settings, **engines):
        guests = Guests.open(changed.data) if changed.open else None
        assistant = make_assistant(changed, make_pool, **engines)
        made.append(assistant)
        app = Starlette(routes=health_routes(assistant, owners(changed, guests), Gpu(no_driver)))
        app.tokens, app.cookie_id = {"t0ken": "ann"}, "7"  # as Gradio's App keeps its logins
        return assistant, TestClient(app)

    yield make
    for assistant in made:
        put_away(assistant)


def load_all(assistant) -> None:
    for stage in ("stt", "llm", "tts"):
        with assistant.pool.lease(assistant.pool.choose(stage)):
            pass


def basic(secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(secret.encode()).decode()}


def values(text: str) -> dict[tuple, float]:
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    return {(s.name, *sorted(s.labels.values())): s.value for s in samples}


def test_it_lives_before_it_is_ready(served):
    assistant, http = served()
    assert http.get("/healthz").status_code == 200
    answer = http.get("/readyz")
    assert answer.status_code == 503 and answer.json()["ready"] is False
    load_all(assistant)
    answer = http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["serving"] == {"stt": "stt", "llm": "llm", "tts": "tts"}
    assert answer.json()["ladder"]["llm"] == {"llm": "ready"}


def test_a_stage_without_an_engine_is_not_ready(served):
    def broken() -> FakeLLM:
        raise RuntimeError("no such model")

    assistant, http = served(llm=broken)
    with pytest.raises(EngineLoadError, match="Llm"):
        load_all(assistant)
    answer = http.get("/readyz")
    assert answer.status_code == 503 and answer.json()["ladder"]["llm"] == {"llm": "failed"}


def test_metrics_count_what_happened(served):
    assistant, http = served()
    load_all(assistant)
    assistant.metrics.turn({"llm": 120, "total": 449}, {"llm": "llm"}, "done")
    assistant.metrics.turn({"llm": 80, "total": 20_000}, {"llm": "llm"}, "interrupted")
    assistant.metrics.refusal("SERVER_FULL")
    assistant.seats.admit("ann", "k")
    answer = http.get("/metrics")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain")
    got = values(answer.text)
    assert got["avatar_turns_total", "done"] == got["avatar_turns_total", "interrupted"] == 1
    assert got["avatar_refusals_total", "SERVER_FULL"] == 1
    assert got["avatar_seats_taken",] == 1 and got["avatar_seats",] == 5
    assert got["avatar_stage_seconds_bucket", "0.3", "total"] == 0
    assert got["avatar_stage_seconds_bucket", "0.45", "total"] == got["avatar_stage_seconds_bucket", "10", "total"] == 1
    assert got["avatar_stage_seconds_bucket", "+Inf", "total"] == got["avatar_stage_seconds_count", "total"] == 2
    assert got["avatar_stage_seconds_sum", "llm"] == pytest.approx(0.2)
    assert got["avatar_rung", "llm", "llm", "serving"] == 1
    assert got["avatar_memory_bytes",] > 1e7
    assert not any("vram" in name for name, *_ in got)  # no card is no zero


class Card(Gpu):
    def memory(self):
        return GpuMemory(used=3 << 30, free=21 << 30, total=24 << 30, card=24 << 30)


def test_the_memory_of_a_card_is_shown(served):
    assistant, _ = served()
    http = TestClient(Starlette(routes=health_routes(assistant, owners(assistant.settings), Card())))
    got = values(http.get("/metrics").text)
    assert got["avatar_vram_used_bytes",] == 3 << 30 and got["avatar_vram_bytes",] == 24 << 30


def test_with_a_password_only_who_has_it_sees_figures(served, settings):
    _, http = served(replace(settings, host="0.0.0.0", auth="ann:secret words"))
    for headers in (
        {},
        basic("ann:guess"),
        basic("ann"),
        {"Authorization": "Basic ???"},
        {"Authorization": "Bearer t0ken"},
    ):
        answer = http.get("/metrics", headers=headers)
        assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Basic")
        answer = http.get("/readyz", headers=headers)
        assert "ladder" not in answer.json() and (answer.status_code == 401) == bool(headers)
    assert http.get("/healthz").status_code == 200
    assert http.get("/metrics", headers=basic("ann:secret words")).status_code == 200
    assert "ladder" in http.get("/readyz", headers=basic("ann:secret words")).json()
    http.cookies.set("access-token-unsecure-7", "t0ken")
    assert http.get("/metrics").status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_a_password_cannot_be_guessed_here_either(served, settings, path):
    assistant, http = served(replace(settings, host="0.0.0.0", auth="ann:secret"))
    load_all(assistant)  # ready, so that who does not guess is answered 200
    throttled = TestClient(Throttle(http.app, on_refusal=lambda code: None))
    answers = [throttled.get(path, headers=basic(f"ann:{guess}")) for guess in range(20)]
    told = throttled.get(path, headers=basic("ann:secret"))
    assert told.status_code == 429 or told.content == answers[0].content


def test_guests_see_no_figures(served, settings):
    _, http = served(replace(settings, host="0.0.0.0", open=True))
    http.cookies.set("avatar_guest", Guests.open(settings.data).issue())
    assert http.get("/metrics").status_code == 401
    assert set(http.get("/readyz").json()) == {"ready"}
