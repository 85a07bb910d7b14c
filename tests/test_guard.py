from dataclasses import replace

import pytest
from fastapi import FastAPI, Request
from starlette.middleware import Middleware

from avatar.door import door
from avatar.guard import Guard, Hosts
from avatar.metrics import Metrics
from avatar.settings import Settings
from avatar.ui.login import Login

AUTH = "ann:secret"
HERE = "127.0.0.1:7860"


@pytest.fixture
def guarded(settings):
    """guarded(settings): an app that keeps the sizes of the bodies that reach it."""

    def make(changed: Settings = settings, **more: object) -> FastAPI:
        app = FastAPI(middleware=[Middleware(Guard, settings=changed, **more)])
        app.state.reached = []

        @app.api_route("/{path:path}", methods=["GET", "POST"])
        async def take(path: str, request: Request) -> str:
            app.state.reached.append(len(await request.body()))
            return path

        return app

    return make


async def status(app: FastAPI, path: str = "/", method: str = "POST", body: bytes | None = None, **headers: str) -> int:
    """By hand: a client library would mend the headers. `body`=None declares no length and sends nothing."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 7860),
    }  # fmt: skip
    chunks = [(body or b"")[i : i + 65_536] for i in range(0, max(1, len(body or b"")), 65_536)]
    sent = []

    async def receive():
        chunk = chunks.pop(0) if chunks else b""
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"]


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        (HERE, None, 200),
        (HERE, f"http://{HERE}", 200),
        ("localhost:7860", "http://localhost:7860", 200),
        ("LOCALHOST:7860", None, 200),
        ("[::1]:7860", "http://[::1]:7860", 200),
        ("127.0.0.1", "http://127.0.0.1", 200),
        (HERE, "null", 403),
        (HERE, "", 403),
        (HERE, "http://evil.example", 403),
        (HERE, "http://127.0.0.1:9999", 403),  # another program of this machine
        (HERE, "http://127.0.0.1", 403),
        (HERE, f"http://{HERE}.evil.example", 403),
        (HERE, f"http://evil.example/{HERE}", 403),
        (HERE, f"http://evil.example@{HERE}", 403),
        (HERE, f"file://{HERE}x", 403),
        (HERE, "http://[", 403),
        ("evil.example", None, 403),  # a name that was rebound to this machine
        ("evil.example:7860", "http://evil.example:7860", 403),
        ("127.0.0.1.evil.example", None, 403),
        ("localhost.evil.example:7860", None, 403),
        ("evil.example:127.0.0.1", None, 403),
        ("[::1", None, 403),
        ("", None, 403),
        ("0.0.0.0:7860", None, 403),
    ],
)
async def test_foreign_hosts_and_origins_never_reach_a_handler(guarded, host, origin, expected):
    app = guarded()
    headers = {"host": host} | ({} if origin is None else {"origin": origin})
    assert await status(app, "/gradio_api/queue/join", **headers) == expected
    assert await status(app, "/", "GET", **headers) == expected
    assert len(app.state.reached) == (2 if expected == 200 else 0)


async def test_a_request_without_a_host_is_refused(guarded, settings):
    assert await status(guarded()) == 403
    shared = guarded(replace(settings, share=True, auth=AUTH))
    assert await status(shared, origin="null") == 403  # an empty host is no match for an empty origin


async def test_behind_a_share_link_the_origin_must_be_that_link(guarded, settings):
    hosts = Hosts(shared := replace(settings, share=True, auth=AUTH))
    app = guarded(shared, hosts=hosts)
    link = "abc.gradio.live"
    assert await status(app, host=link) == 403  # not before it is known
    hosts.add(f"https://{link}")
    assert await status(app, host=link, origin=f"https://{link}") == 200
    assert await status(app, host=link) == 200
    assert await status(app, host=link, origin="https://other.gradio.live") == 403
    assert await status(app, host=link, origin="null") == 403
    assert len(app.state.reached) == 2


async def test_a_proxy_on_this_machine_passes_on_the_name_that_it_is_known_by(guarded, settings):
    name = "avatar.example.org"
    assert await status(guarded(replace(settings, auth=AUTH)), host=name) == 403
    app = guarded(replace(settings, auth=AUTH, allowed_hosts=name))
    assert await status(app, host=name, origin=f"https://{name}") == 200
    assert await status(app, host=name, origin="https://evil.example") == 403
    assert await status(app, host=HERE, origin=f"http://{HERE}") == 200


@pytest.mark.parametrize("name", ["file=http://a.example/x", "file=https://a.example/x", "file/http://a.example/x"])
async def test_gradio_relays_no_address(guarded, name):
    app = guarded()
    assert await status(app, f"/gradio_api/{name}", "GET", host=HERE) == 403
    assert await status(app, "/gradio_api/file=/tmp/gradio/http.wav", "GET", host=HERE) == 200
    assert len(app.state.reached) == 1


@pytest.mark.parametrize(("path", "limit"), [("/gradio_api/queue/join", 1 << 20), ("/gradio_api/upload", 3 << 20)])
async def test_bodies_are_limited_declared_or_not(guarded, settings, path, limit):
    app = guarded(replace(settings, upload_mib=2))
    fits, big = b"x" * limit, b"x" * (limit + 1)
    assert await status(app, path, body=fits, host=HERE, content_length=str(limit)) == 200
    assert await status(app, path, body=fits, host=HERE) == 200
    assert await status(app, path, body=big, host=HERE, content_length=str(limit + 1)) == 413
    assert await status(app, path, body=big, host=HERE) == 413
    assert await status(app, path, body=big, host=HERE, content_length="1") == 413  # a lie
    assert await status(app, path, body=b"", host=HERE, content_length="-1") == 400
    assert app.state.reached == [limit, limit]


@pytest.mark.parametrize("path", ["/gradio_api/run/upload", "/gradio_api/call/upload", "/upload"])
async def test_only_an_upload_may_be_as_large_as_one(guarded, path):
    assert await status(guarded(), path, body=b"x" * (2 << 20), host=HERE) == 413


async def test_a_body_that_grows_too_large_before_it_reaches_the_app_is_no_fault_of_ours(settings, tmp_path):
    shared = replace(settings, host="0.0.0.0", auth=AUTH)
    app = FastAPI(middleware=door(shared, Hosts(shared), Metrics(), None, lambda _: "ann", str(tmp_path), Login))
    assert await status(app, "/gradio_api/queue/join", body=b"x" * (2 << 20), host=HERE) == 413


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("talk.example.org", 200),
        ("TALK.example.org:443", 200),
        ("192.168.1.5:7860", 200),  # an address cannot be rebound
        ("[fe80::1]:7860", 200),
        ("evil.example", 403),
        ("talk.example.org.evil.example", 403),
        ("", 403),
    ],
)
async def test_others_may_ask_by_address_or_by_an_allowed_name(guarded, settings, host, expected):
    app = guarded(replace(settings, host="0.0.0.0", auth=AUTH, allowed_hosts="talk.example.org, other.example"))
    assert await status(app, host=host) == expected


async def test_refusals_are_counted(guarded, settings):
    refused: list[str] = []
    app = guarded(settings, on_refusal=refused.append)
    assert await status(app, host="evil.example") == 403
    assert await status(app, host=HERE) == 200
    assert refused == ["HTTP_403"]
