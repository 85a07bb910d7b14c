"""How often one client may ask: token buckets, kept in bounded memory. Knows no route but the login's.

On loopback without a password the only client is the user, so nothing is counted there.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLIENTS = 10_000  # buckets kept; the one used longest ago gives way
LOGIN = "/login"


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` at once, then one every `every_s` seconds."""

    burst: int
    every_s: float


# A page load asks about 60 times, all GET; talking asks a handful of times a turn.
ASKS = Rate(burst=120, every_s=0.05)
# 200 wrong passwords took 4 s before this (research/reliability.md); now an hour. Good ones are given back.
LOGINS_OF_CLIENT = Rate(burst=5, every_s=15)
LOGINS_OF_ALL = Rate(burst=30, every_s=2)  # addresses are cheap: all clients together


class Buckets:
    """Token buckets by key. Used from the event loop only."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._full_at: OrderedDict[str, float] = OrderedDict()  # when each bucket will be full again

    def take(self, key: str) -> float:
        """Take a token. Returns 0, or the seconds until there is one; then none was taken."""
        now = self._clock()
        full_at = max(now, self._full_at.pop(key, now)) + self._rate.every_s
        wait_s = full_at - now - self._rate.burst * self._rate.every_s
        if wait_s > 1e-9:
            self._full_at[key] = full_at - self._rate.every_s
            return wait_s
        self._full_at[key] = full_at
        if len(self._full_at) > CLIENTS:
            self._full_at.popitem(last=False)
        return 0.0

    def give_back(self, key: str) -> None:
        """The token that was taken last turned out to be well spent."""
        if key in self._full_at:
            self._full_at[key] -= self._rate.every_s


class Throttle:
    """ASGI middleware: too many requests, sockets or wrong passwords end here with 429 and the seconds to wait.

    Reading (GET) is not counted, except of our own routes: a page is many files. The client is the address that the
    server sees: behind a proxy that names the true one in X-Forwarded-For, uvicorn has put that in its place.
    """

    def __init__(
        self, app: ASGIApp, on_refusal: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app, self._on_refusal = app, on_refusal
        self._asks = Buckets(ASKS, clock)
        self._logins, self._all_logins = Buckets(LOGINS_OF_CLIENT, clock), Buckets(LOGINS_OF_ALL, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        client = (scope.get("client") or ("", 0))[0]
        if _is_login(scope):
            await self._login(client, scope, receive, send)
        elif _counts(scope) and (wait_s := self._asks.take(client)):
            await self._refuse("TOO_MANY_REQUESTS", wait_s, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _login(self, client: str, scope: Scope, receive: Receive, send: Send) -> None:
        wait_s = self._logins.take(client)
        if not wait_s and (wait_s := self._all_logins.take("")):
            self._logins.give_back(client)
        if wait_s:
            await self._refuse("TOO_MANY_LOGINS", wait_s, scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                self._logins.give_back(client)
                self._all_logins.give_back("")
            await send(message)

        await self._app(scope, receive, sent)

    async def _refuse(self, code: str, wait_s: float, scope: Scope, receive: Receive, send: Send) -> None:
        self._on_refusal(code)
        seconds = math.ceil(wait_s)
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4429})
            return
        body = {"error": f"Too many attempts. Try again in {seconds} s."}
        await JSONResponse(body, 429, {"Retry-After": str(seconds)})(scope, receive, send)


def _is_login(scope: Scope) -> bool:
    """Whether a secret is tried here: in the login form, or as Basic authentication."""
    if scope["type"] != "http":
        return False
    form = scope["method"] == "POST" and scope["path"].rstrip("/") == LOGIN
    return form or any(name == b"authorization" for name, _ in scope["headers"])


def _counts(scope: Scope) -> bool:
    return scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD") or "/avatar/" in scope["path"]
