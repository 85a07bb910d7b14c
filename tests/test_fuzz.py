"""What comes from outside and is not covered beside its parser: our own routes, the socket's frames in any order, names
and the records that are read back from JSON.

Settings: test_settings.py. One message of the socket: test_wire.py. Handlers of the page: test_fuzz_handlers.py.
Clauses: test_clauses.py. Sayings: test_dictionary.py, test_saying.py. Searches: test_finding.py. Recordings:
test_decoder.py. Voices brought along: test_voice_archive.py. What our routes promise: test_routes.py. The same at
length: tests/campaigns.
"""

import asyncio
import json
import unicodedata
from dataclasses import fields
from urllib.parse import quote

import hypothesis
import pytest
from assistants import make_assistant, put_away
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient

from avatar.consent import Consent
from avatar.door import door
from avatar.errors import AvatarError
from avatar.gpu import Gpu
from avatar.guard import Hosts
from avatar.guests import Guests
from avatar.health import health_routes
from avatar.metrics import Metrics
from avatar.owners import owners
from avatar.profiles import MAX_NAME, clean_name
from avatar.server import routes
from avatar.settings import Settings
from avatar.store import MAX_PERSONA, MAX_TITLE
from avatar.ui.login import Login

HERE = "127.0.0.1:7860"
ROUTES = 10  # of our own, at most
SOME = hypothesis.settings(max_examples=60, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=60)
HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60)


@pytest.fixture
def assistant(settings, make_pool):
    made = make_assistant(settings, make_pool)
    yield made
    put_away(made)


def own(assistant, owner_of):
    return [*routes(assistant, owner_of), *health_routes(assistant, owner_of, Gpu())]


def served(assistant, settings: Settings, tmp_path) -> TestClient:
    """Our routes behind the whole door, without the bound on how often one client may ask."""
    guests = Guests.open(tmp_path) if settings.open else None
    owner_of = owners(settings, guests)
    layers = door(settings, Hosts(settings), Metrics(), guests, owner_of, str(tmp_path / "gradio"), Login)
    layers = [layer for layer in layers if layer.cls.__name__ != "Throttle"]
    app = Starlette(routes=own(assistant, owner_of), middleware=[Middleware(m.cls, **m.kwargs) for m in layers])
    app.cookie_id, app.tokens = "id", {}
    return TestClient(app, base_url=f"http://{HERE}", raise_server_exceptions=True)


def test_our_own_routes_can_be_counted_on_the_fingers(assistant, monkeypatch):
    without = len(own(assistant, owners(assistant.settings)))
    monkeypatch.setattr(assistant, "studio", object())  # routes are only laid out here, not asked for
    monkeypatch.setattr(assistant, "previews", object())
    assert without < len(own(assistant, owners(assistant.settings))) <= ROUTES


@SOME
@given(
    path=st.lists(ANY_TEXT, max_size=4),
    start=st.sampled_from(["/avatar/audio/", "/avatar/export/", "/avatar/", "/healthz", "/readyz", "/metrics", "/"]),
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"]),
    headers=st.dictionaries(
        st.sampled_from(["Cookie", "Authorization", "Origin", "Range", "Accept", "If-None-Match", "X-Forwarded-For"]),
        HEADER,
        max_size=3,
    ),
    body=st.binary(max_size=200),
    kind=st.sampled_from(["local", "guests", "login"]),
)
def test_no_request_breaks_a_route(assistant, tmp_path, path, start, method, headers, body, kind):
    """An answer below 500 in any case but /readyz's 503; an exception would surface here."""
    more = {"local": {}, "guests": {"host": "0.0.0.0", "open": True}, "login": {"host": "0.0.0.0", "auth": "a:b"}}[kind]
    client = served(assistant, Settings(data=tmp_path, weights=tmp_path, **more), tmp_path)
    where = start + "/".join(quote(part, errors="surrogatepass", safe="%.") for part in path)
    raw = {name: value.strip().encode("latin-1") for name, value in headers.items()}
    answer = client.request(method, where, content=body, headers=raw)
    assert answer.status_code < 500 or (where.startswith("/readyz") and answer.status_code == 503)
    assert "Traceback" not in answer.text


FRAMES = st.one_of(
    st.binary(max_size=64),
    st.binary(min_size=640, max_size=640),
    ANY_TEXT.filter(lambda text: text.isprintable()),
    st.fixed_dictionaries(
        {"t": st.sampled_from(["hello", "settings", "say", "interrupt", "mute", "hold", "played", "new", "alive"])},
        optional={
            "text": st.text(max_size=20),
            "client_turn_id": st.text(max_size=8),
            "on": st.booleans(),
            "turn": st.integers(-1, 2**33),
            "samples": st.integers(-1, 2**33),
            "patience_ms": st.integers(0, 5000),
            "language": st.sampled_from(["auto", "en", "zh", "xx"]),
            "rate_pct": st.floats(),
            "\ud800": st.just("\udc00"),
        },
    ).map(json.dumps),
)


@hypothesis.settings(SOME, max_examples=30)
@given(frames=st.lists(FRAMES, max_size=12))
def test_no_frames_in_any_order_break_a_session(assistant, frames, caplog):
    """Every session ends with a code of ours and its seat is free: never a bug."""
    app = Starlette(routes=[r for r in routes(assistant, lambda _: "local") if isinstance(r, WebSocketRoute)])
    with TestClient(app) as client, client.websocket_connect("/avatar/ws") as ws:
        ws.send_text(json.dumps({"t": "hello", "token": assistant.issue_token("local")}))
        for frame in frames:
            ws.send_bytes(frame) if isinstance(frame, bytes) else ws.send_text(frame)
        ws.send_text('{"t": "bye"}')
    assert assistant.seats.count() == 0 and "bug" not in caplog.text
    assistant.attendant._task = None  # of a loop that has ended


@SOME
@given(title=ANY_TEXT, persona=ANY_TEXT, long=st.integers(0, 3))
def test_any_title_and_persona_is_kept_clean_or_refused_in_words(assistant, title, persona, long):
    conversation = assistant.store.create_conversation("ann")
    for keep in (
        lambda: assistant.store.rename("ann", conversation, title * 10**long),
        lambda: assistant.store.set_persona("ann", conversation, persona * 10**long),
    ):
        try:
            keep()
        except AvatarError as error:
            assert error.sentence.endswith(".")
    kept = assistant.store.conversation("ann", conversation).title
    assert len(kept) <= MAX_TITLE and len(assistant.store.persona("ann", conversation)) <= MAX_PERSONA
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in kept)


@SOME
@given(name=ANY_TEXT, long=st.integers(0, 2))
def test_any_name_of_a_voice_is_made_clean_or_refused_in_words(name, long):
    try:
        kept = clean_name(name * 10**long)
    except AvatarError as error:
        assert error.code == "VOICE_NAME" and not any(c.isalnum() and c.isascii() for c in name)
        return
    assert 0 < len(kept) <= MAX_NAME and kept == clean_name(kept) == kept.strip()
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in kept)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)


FIELDS = [field.name for field in fields(Consent)]


@SOME
@given(
    raw=st.dictionaries(st.sampled_from([*FIELDS, "x"]), JSON, max_size=8)
    | st.fixed_dictionaries({name: st.text(max_size=70) | JSON for name in FIELDS})
)
def test_no_json_is_taken_for_a_consent(raw):
    with pytest.raises(ValueError):
        Consent.from_json(raw)


async def test_a_socket_that_sends_half_a_frame_and_stops_costs_no_seat(assistant):
    """Slowloris at the door of a session: who has not said hello has no seat to hold."""
    from assistants import door as open_door

    async with open_door(assistant) as here:
        host, port = here.host.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET /avatar/ws HTTP/1.1\r\nHost: {here.host}\r\n".encode())
        await writer.drain()
        await asyncio.sleep(0.05)
        assert assistant.seats.count() == 0
        async with here.page() as page:
            assert page.seen[0]["n"] == 1
        writer.close()
