"""Who a browser is where nobody logs in but others can come (AVATAR_OPEN): a cookie made and signed by this server.

Knows no page. The cookie is all that tells one guest's conversations from another's: HttpOnly, so that no script reads
it, and signed, so that nobody can choose whose it is.
"""

import hashlib
import hmac
import os
import secrets
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from avatar.durable import sync_folder
from avatar.errors import NotFound, StorageError
from avatar.refused import WRITABLE

COOKIE = "avatar_guest"
KEY_FILE = "guests.key"
KEY_BYTES = 32
LIFE_S = 400 * 86_400  # the longest that Chromium keeps a cookie
OWNER = "guest:"  # a login name has no place here: with AVATAR_AUTH there are no guests


class Guests:
    """Issues and checks the cookies of guests. Thread-safe: nothing changes after the start."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def open(cls, data: Path) -> "Guests":
        """With the key that `data` keeps, so that guests are known again after a restart. Raises StorageError."""
        path = data / KEY_FILE
        try:
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            if path.exists() and len(key := path.read_bytes()) == KEY_BYTES:
                return cls(key)
            new = path.with_suffix(".new")  # half a key, of a full disk or a crash, would be one that can be guessed
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(key := secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
            sync_folder(data)
        except OSError as exc:
            sentence = f"AVATAR_OPEN needs {path}, which tells guests apart, and it cannot be read or written"
            raise StorageError(f"{sentence} ({exc.strerror}). {WRITABLE}") from exc
        return cls(key)

    def issue(self) -> str:
        name = secrets.token_hex(16)
        return f"{name}.{self._signature(name)}"

    def owner(self, cookie: str | None) -> str | None:
        """The owner whom the cookie names, or None if this server did not make it."""
        name, dot, signature = (cookie or "").partition(".")
        if not dot or not signature.isascii() or not hmac.compare_digest(signature, self._signature(name)):
            return None
        return OWNER + name

    def of(self, connection: Any) -> str:
        """The owner who asks, of a gr.Request or a Starlette connection. Raises NotFound."""
        owner = self.owner(_cookie(connection.headers.get("cookie", "")))
        if owner is None:
            raise NotFound(
                "This browser sent no cookie of ours. Allow cookies for this page, then reload it.", code="LOGIN"
            )
        return owner

    def _signature(self, name: str) -> str:
        return hmac.new(self._key, name.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


class Doorman:
    """ASGI middleware: a browser that brings no cookie of ours gets one with the page itself."""

    def __init__(self, app: ASGIApp, guests: Guests) -> None:
        self._app, self._guests = app, guests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == "/"
        if not page or self._guests.owner(_cookie(Headers(scope=scope).get("cookie", ""))) is not None:
            await self._app(scope, receive, send)
            return
        secure = "; Secure" if scope["scheme"] == "https" else ""
        cookie = f"{COOKIE}={self._guests.issue()}; Path=/; Max-Age={LIFE_S}; HttpOnly; SameSite=Lax{secure}"

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("Set-Cookie", cookie)
            await send(message)

        await self._app(scope, receive, sent)


def _cookie(header: str) -> str | None:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return None
    return found.value if found else None
