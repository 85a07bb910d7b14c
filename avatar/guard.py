"""Who may ask from where, and how much at once. Stands before every route, Gradio's and ours; knows none of them."""

import ipaddress
import re
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from avatar.settings import LOOPBACK, Settings

JSON_BYTES = 1 << 20  # the largest request that is not an upload
UPLOAD = "/gradio_api/upload"  # Gradio's route of forms with files, and the only one
RELAYS = re.compile("file[=/]https?:", re.IGNORECASE)  # Gradio would fetch that address and pass it on
TOO_LARGE = "That is too large."


class Hosts:
    """The names under which this page may be asked for, without ports. A share link's name joins when it is known.

    Loopback only: no other name, or a page elsewhere could rebind its own name to this machine. Reachable by others:
    this machine's names, those of AVATAR_ALLOWED_HOSTS, and any address in digits, which cannot be rebound.
    """

    def __init__(self, settings: Settings) -> None:
        self._digits = not settings.loopback
        self._names = {*LOOPBACK, *settings.host_names}
        if not settings.loopback:
            me = socket.gethostname().lower()
            self._names |= {me, f"{me.partition('.')[0]}.local", _name(settings.host)}

    def add(self, url: str) -> None:
        self._names.add(_name(urlsplit(url).netloc))

    def __contains__(self, host: str) -> bool:
        name = _name(host)
        return bool(name) and (name in self._names or (self._digits and _is_address(name)))


class Guard:
    """ASGI middleware: foreign hosts and origins, Gradio's URL relay and oversized bodies end here.

    Origin: a browser names the page that asks; it must be this one. Programs that send no Origin are not a browser's
    victims.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        hosts: Hosts | None = None,
        on_refusal: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._app, self._on_refusal = app, on_refusal
        self._hosts = hosts or Hosts(settings)
        self._upload_bytes = (settings.upload_mib + 1) << 20

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refuse(scope, headers)
        if refusal is not None:
            self._on_refusal(f"HTTP_{refusal[0]}")
        if refusal is not None and scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4403})
        elif refusal is not None:
            await JSONResponse({"error": refusal[1]}, refusal[0])(scope, receive, send)
        else:
            try:
                await self._app(scope, _limited(receive, self._limit(scope)), send)
            except HTTPException as large:  # the app would have answered it: a layer before it has read the body
                await JSONResponse({"error": large.detail}, large.status_code)(scope, receive, send)

    def _refuse(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if host not in self._hosts:
            return 403, "This page is not served under this name. AVATAR_ALLOWED_HOSTS names those of a proxy."
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
        return self._upload_bytes if scope["path"] == UPLOAD else JSON_BYTES


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


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
