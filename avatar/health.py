"""For whoever runs the server: GET /healthz (it lives), /readyz (it can answer a turn), /metrics (Prometheus).

Holds no words and no names. Metrics are for the operator: on loopback anybody, with AVATAR_AUTH who logs in or sends it
as Basic authentication, with AVATAR_OPEN nobody.
"""

import asyncio
import base64
import binascii
import hmac
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from avatar.engines.catalog import STAGES
from avatar.errors import NotFound
from avatar.gpu import Gpu, Gpus
from avatar.metrics import BUCKETS_MS, ram
from avatar.owners import OwnerOf
from avatar.settings import Settings

if TYPE_CHECKING:
    from avatar.assistant import Assistant


def health_routes(assistant: "Assistant", owner_of: OwnerOf, gpu: Gpu | Gpus) -> list[BaseRoute]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(assistant, gpu))

    async def alive(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(request: Request) -> Response:
        operator = _operator(request, owner_of, assistant.settings)
        if not operator and assistant.settings.auth and "authorization" in request.headers:
            return _refused(assistant.settings)  # a wrong secret that was answered 200 would cost no try: throttle.py
        rungs = await asyncio.to_thread(assistant.pool.status)
        serving = {r.stage: r.name for r in rungs if r.serving}
        draining = assistant.attendant.draining
        body: dict[str, Any] = {"ready": all(stage in serving for stage in STAGES) and not draining}
        if operator:
            body["ladder"] = {stage: {r.name: r.state for r in rungs if r.stage == stage} for stage in STAGES}
            body["serving"] = serving
        return JSONResponse(body, 200 if body["ready"] else 503)

    async def metrics(request: Request) -> Response:
        if not _operator(request, owner_of, assistant.settings):
            return _refused(assistant.settings)
        text = await asyncio.to_thread(generate_latest, registry)  # reading a driver may block
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return [Route("/healthz", alive), Route("/readyz", ready), Route("/metrics", metrics)]


def _refused(settings: Settings) -> Response:
    challenge = {"WWW-Authenticate": 'Basic realm="AVATAR"'} if settings.auth else {}
    return JSONResponse({"error": "Only the operator of this AVATAR can see that."}, 401, challenge)


def _operator(request: Request, owner_of: OwnerOf, settings: Settings) -> bool:
    if settings.auth and _basic(request.headers.get("authorization", ""), settings.auth):
        return True
    try:
        return owner_of(request) == settings.operator
    except NotFound:
        return False


def _basic(header: str, auth: str) -> bool:
    scheme, _, encoded = header.partition(" ")
    try:
        sent = base64.b64decode(encoded, validate=True) if scheme.lower() == "basic" else b""
    except binascii.Error:
        return False
    return hmac.compare_digest(sent, auth.encode())


class _Figures(Collector):
    """Reads everything anew at each scrape."""

    def __init__(self, assistant: "Assistant", gpu: Gpu | Gpus) -> None:
        self._assistant, self._gpu = assistant, gpu

    def collect(self) -> Iterator[Metric]:
        counted = self._assistant.metrics.counted()
        turns = CounterMetricFamily("avatar_turns", "Turns that ended, by how they ended.", labels=["outcome"])
        for outcome, n in counted.outcomes.items():
            turns.add_metric([outcome], n)
        refusals = CounterMetricFamily("avatar_refusals", "Who was turned away, by code.", labels=["code"])
        for code, n in counted.refusals.items():
            refusals.add_metric([code], n)
        stages = HistogramMetricFamily(
            "avatar_stage_seconds", "Time to the first sound, and the parts of it.", labels=["stage"]
        )
        for stage, (counts, sum_ms) in counted.stages.items():
            edges = [*(f"{ms / 1000:g}" for ms in BUCKETS_MS), "+Inf"]
            stages.add_metric([stage], list(zip(edges, counts, strict=True)), sum_value=sum_ms / 1000)
        yield from (turns, refusals, stages, *self._gauges())

    def _gauges(self) -> Iterator[Metric]:
        seats = self._assistant.seats
        yield _gauge("avatar_seats_taken", "Seats that are taken.", seats.count())
        yield _gauge("avatar_seats", "Seats that there are.", seats.max_sessions)
        used, _ = ram()
        yield _gauge("avatar_memory_bytes", "Resident memory of AVATAR and its helpers.", used)
        if (memory := self._gpu.memory()) is not None:
            yield _gauge("avatar_vram_used_bytes", "Memory of the GPUs in use, by all programs.", memory.used)
            yield _gauge("avatar_vram_bytes", "Memory of the GPUs.", memory.total)
        rungs = GaugeMetricFamily("avatar_rung", "1 for the state of each rung.", labels=["stage", "rung", "state"])
        for rung in self._assistant.pool.status():
            rungs.add_metric([rung.stage, rung.name, "serving" if rung.serving else rung.state], 1)
        yield rungs


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)
