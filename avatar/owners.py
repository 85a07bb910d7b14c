"""Who asks: the owner of what a request may reach, by how the server was started. Knows no route and no page."""

from collections.abc import Callable
from typing import Any

from avatar.errors import NotFound
from avatar.guests import Guests
from avatar.settings import LOCAL, Settings

OwnerOf = Callable[[Any], str]  # of a gr.Request or a Starlette connection; raises NotFound for who is not logged in


def owners(settings: Settings, guests: Guests | None = None) -> OwnerOf:
    """Who asks: `local` where only this machine can ask and no password is set, else the user who logged in, or where
    everybody may come in (AVATAR_OPEN) the guest whose cookie it is.

    Works for Gradio's requests, which know their user, and for our own routes, which ask Gradio's login table.
    """

    def logged_in(connection: Any) -> str:
        name: str | None = getattr(connection, "username", None)
        if name is None:
            app, cookies = connection.app, connection.cookies
            tokens = (cookies.get(f"access-token-{kind}{app.cookie_id}") for kind in ("", "unsecure-"))
            name = next((app.tokens[token] for token in tokens if token in app.tokens), None)
        if name is None:
            raise NotFound("Log in first.", code="LOGIN")
        return name

    if settings.auth:
        return logged_in
    return guests.of if guests is not None else lambda _: LOCAL
