"""Who may ask from where, and how much at once. Stands before every route, Gradio's and ours; knows none of them."""

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from avatar.settings import LOOPBACK, Settings

JSON_BYTES = 1 << 20  # the largest request that is not an upload
RELAYS = re.compile("file[=/]https?:", re.IGNORECASE)  # Gradio would fetch that address and pass it on
TOO_LARGE = "That is too large."


class Guard:
    """ASGI middleware: foreign hosts and origins, Gradio's URL relay and oversized bodies end here.

    Host: without a password only loopback names, or a page elsewhere could rebind its name to this machine; with one, a
    page of another name has no login cookie, and a proxy on this machine may pass on the name that it is known by.
    Origin: a browser names the page that asks; it must be this one. Programs that send no Origin are not a browser's
    victims.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._hosts = None if settings.auth else LOOPBACK
        self._upload_bytes = (settings.upload_mib + 1) << 20

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refuse(scope, headers)
        if refusal is not None and scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4403})
        elif refusal is not None:
            await JSONResponse({"error": refusal[1]}, refusal[0])(scope, receive, send)
        else:
            await self._app(scope, _limited(receive, self._limit(scope)), send)

    def _refuse(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self._hosts is not None and _name(host) not in self._hosts:
            return 403, "This page is served to this machine only."
        origin = headers.get("origin")
        if origin is not None and not (host and _netloc(origin) == host):
            return 403, "Requests from other pages are refused."
        if RELAYS.search(scope["path"]):
            return 403, "Addresses are not relayed."
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            return 400, "The length of this request is not a number."
        return (413, TOO_LARGE) if int(length) > self._limit(scope) else None

    def _limit(self, scope: Scope) -> int:
        return self._upload_bytes if scope["path"].endswith("/upload") else JSON_BYTES


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _netloc(origin: str) -> str:
    """Empty for what names no host, such as the origin `null` of a sandboxed page."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _limited(receive: Receive, limit: int) -> Receive:
    """A body without a declared length is cut off where a declared one would have been refused."""
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > limit:
                raise HTTPException(413, TOO_LARGE)
        return message

    return limited
