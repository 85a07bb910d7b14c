import pytest
from fakes import Clock
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from avatar import throttle
from avatar.door import door
from avatar.guard import Hosts
from avatar.metrics import Metrics
from avatar.settings import Settings
from avatar.throttle import ASKS, CLIENTS, LOGINS_OF_ALL, LOGINS_OF_CLIENT, Buckets, Rate, Throttle
from avatar.ui.login import Login

SECRET = "right"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def refused():
    return []


@pytest.fixture
def app(clock, refused):
    async def login(request: Request) -> PlainTextResponse:
        return PlainTextResponse("", 200 if (await request.body()).decode() == SECRET else 400)

    async def echo(_: Request) -> PlainTextResponse:
        return PlainTextResponse("here")

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    routes = [
        Route("/login", login, methods=["POST"]),
        Route("/avatar/audio/x", echo),
        Route("/{rest:path}", echo, methods=["GET", "POST"]),
        WebSocketRoute("/avatar/ws", socket),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Throttle, on_refusal=refused.append, clock=clock)])


def client(app, host="10.0.0.1") -> TestClient:
    return TestClient(app, client=(host, 50_000))


def test_a_bucket_gives_its_burst_and_then_one_at_a_time(clock):
    buckets = Buckets(Rate(burst=3, every_s=2), clock)
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 2]
    assert buckets.take("b") == 0  # everyone has one of their own
    clock.now += 1
    assert buckets.take("a") == 1
    clock.now += 1
    assert buckets.take("a") == 0 and buckets.take("a") == 2
    clock.now += 1_000
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 2]  # never more than its burst


def test_a_token_can_be_given_back(clock):
    buckets = Buckets(Rate(burst=1, every_s=10), clock)
    assert buckets.take("a") == 0
    buckets.give_back("a")
    buckets.give_back("nobody")
    assert buckets.take("a") == 0 and buckets.take("a") == 10


def test_buckets_are_bounded(clock):
    buckets = Buckets(Rate(burst=1, every_s=1e9), clock)
    for i in range(CLIENTS + 50):
        buckets.take(f"client {i}")
    assert len(buckets._full_at) == CLIENTS
    assert buckets.take("client 0") == 0  # forgotten, as the one used longest ago


def test_wrong_passwords_are_slowed_down_for_each_client(app, clock, refused):
    mallory = client(app)
    answers = [mallory.post("/login", content="guess") for _ in range(LOGINS_OF_CLIENT.burst + 1)]
    assert [a.status_code for a in answers] == [400] * LOGINS_OF_CLIENT.burst + [429]
    assert answers[-1].headers["Retry-After"] == "15" and "15 s" in answers[-1].json()["error"]
    assert mallory.post("/login/", content=SECRET).status_code == 429  # even the right one has to wait
    assert refused == ["TOO_MANY_LOGINS"] * 2
    assert client(app, "10.0.0.2").post("/login", content=SECRET).status_code == 200
    clock.now += 15
    assert mallory.post("/login", content=SECRET).status_code == 200


def test_right_passwords_cost_nothing(app):
    ann = client(app)
    assert {ann.post("/login", content=SECRET).status_code for _ in range(3 * LOGINS_OF_CLIENT.burst)} == {200}


def test_many_clients_guess_no_faster(app, clock):
    """200 wrong passwords took 4 s before (research/reliability.md)."""
    tried, began = 0, clock.now
    for i in range(200):
        if client(app, f"10.1.0.{i}").post("/login", content="guess").status_code == 400:
            tried += 1
        clock.now += 0.04
    assert tried <= LOGINS_OF_ALL.burst + (clock.now - began) / LOGINS_OF_ALL.every_s + 1


def test_requests_beyond_the_burst_are_refused_and_pages_are_not_counted(app, clock, refused):
    one = client(app)
    assert {one.get(f"/assets/{i}.js").status_code for i in range(2 * ASKS.burst)} == {200}
    assert [one.post("/gradio_api/queue/join").status_code for _ in range(ASKS.burst)] == [200] * ASKS.burst
    assert one.post("/gradio_api/queue/join").status_code == 429
    assert one.get("/avatar/audio/x").status_code == 429  # our own routes cost work
    with pytest.raises(WebSocketDisconnect) as gone, one.websocket_connect("/avatar/ws"):
        pass
    assert gone.value.code == 4429 and set(refused) == {"TOO_MANY_REQUESTS"}
    clock.now += ASKS.every_s
    assert one.post("/gradio_api/queue/join").status_code == 200


def test_basic_authentication_is_a_login_too():
    scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": [(b"authorization", b"Basic x")]}
    assert throttle._is_login(scope)


@pytest.mark.parametrize(
    ("changes", "counted"), [({}, False), ({"auth": "me:secret"}, True), ({"host": "0.0.0.0", "open": True}, True)]
)
def test_whoever_can_try_a_password_is_counted(changes, counted):
    """On loopback too: what forwards a port here comes from this machine."""
    settings = Settings(**changes)
    layers = door(settings, Hosts(settings), Metrics(), None, lambda _: "", "", Login)
    assert (Throttle in [layer.cls for layer in layers]) == counted
