"""schemathesis against our own routes behind the whole door: no answer that openapi.py does not promise."""

import asyncio
from dataclasses import replace
from pathlib import Path

import hypothesis
import pytest
import schemathesis
from assistants import make_assistant, put_away
from hypothesis import given
from openapi import openapi
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route
from test_fuzz import HERE, own, served
from voice_profiles import kept

from avatar.assistant import Assistant
from avatar.owners import owners

CHECKS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
SOME = 20  # requests to each route, in `make check`
NOTHING = ("/avatar/voices/draft/{it}", "/readyz")  # no recording is being judged, no engine is loaded
ROUTES = tuple(openapi()["paths"])


@pytest.fixture
def furnished(settings, make_pool) -> "Assistant":
    """With a turn, a voice and a preview."""
    assistant = make_assistant(settings, make_pool, profiles=True)
    yield assistant
    put_away(assistant)


async def furnish(assistant: Assistant) -> dict[str, dict[str, str]]:
    """Returns what can be asked for: path -> its parameters."""
    updates = [update async for update in assistant.answer("local", "", "hello", "first", "auto")]
    conversation = updates[-1].conversation_id
    voice = kept(assistant.studio.voices, "local")
    preview = await assistant.previews.begin("local", voice.id, "Hello.")
    if preview.task is not None:
        await preview.task
    turn = assistant.store.turns("local", conversation)[0].id
    return {
        "/avatar/audio/{turn}/{side}": {"turn": turn, "side": "reply"},
        "/avatar/export/{conversation}": {"conversation": conversation},
        "/avatar/voices/clip/{it}": {"it": voice.id},
        "/avatar/voices/export/{it}": {"it": voice.id},
        "/avatar/voices/preview/{it}": {"it": preview.id},
    }


def hold(assistant: Assistant, folder: Path, path: str, times: int, **more: object) -> int:
    """`times` requests to one route, each judged. Returns how many were answered with what was asked for."""
    found = asyncio.run(furnish(assistant))
    asked = schemathesis.openapi.from_dict(openapi())[path]["GET"].as_strategy
    client = served(assistant, replace(assistant.settings, **more), folder)
    good = 0

    @hypothesis.settings(
        max_examples=times,
        suppress_health_check=list(hypothesis.HealthCheck),
        database=None,
        derandomize=times == SOME,
    )
    @given(case=asked() | asked(path_parameters=found.get(path, {})))
    def judge(case: schemathesis.Case) -> None:
        nonlocal good
        sent = case.as_transport_kwargs(base_url=f"http://{HERE}")
        answer = client.request(sent["method"], sent["url"], headers=dict(sent["headers"] or {}))
        checks = CHECKS if path == "/readyz" else [*CHECKS, not_a_server_error]
        case.validate_response(answer, checks=checks)
        good += answer.status_code in (200, 206)

    judge()
    return good


def test_the_description_knows_every_route(furnished):
    described = {route.path for route in own(furnished, owners(furnished.settings)) if isinstance(route, Route)}
    assert described == set(ROUTES)


@pytest.mark.parametrize("path", ROUTES)
def test_routes_answer_as_described(furnished, tmp_path, path):
    assert hold(furnished, tmp_path, path, SOME) or path in NOTHING


@pytest.mark.parametrize("path", ROUTES)
def test_a_stranger_is_answered_as_described_and_given_nothing(furnished, tmp_path, path):
    good = hold(furnished, tmp_path, path, SOME, host="0.0.0.0", open=True)
    assert not good or path in ("/healthz", "/readyz")
