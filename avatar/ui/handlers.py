"""What the handlers of all tabs share: who asks, in which language, and how a failure is shown."""

import html
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from functools import wraps
from typing import Any, Final, ParamSpec

import gradio as gr

from avatar.errors import AvatarError
from avatar.ui.strings import failure, language_of

P = ParamSpec("P")

# Turns share one queue of five; the seats, not this queue, say who may talk (see avatar/sessions.py).
TURN: Final[dict[str, Any]] = {
    "concurrency_limit": 5,
    "concurrency_id": "turns",
    "trigger_mode": "multiple",
    "api_visibility": "private",
    "show_progress": "hidden",
}
FOLLOW: Final[dict[str, Any]] = {**TURN, "concurrency_limit": None, "concurrency_id": "follow"}  # shows, works not
QUICK: Final[dict[str, Any]] = {
    "concurrency_limit": None,
    "api_visibility": "private",
    "show_progress": "hidden",
}


def ticking(active: bool) -> dict[str, Any]:
    """Arguments of an event that starts or stops a gr.Timer, its output. The page does it without the server, whose
    answer to a start could come after the stop that followed it; for the same reason it comes before what else the
    event does: Gradio begins with one only when the one before it is over."""
    js = f"() => ({{ __type__: 'update', active: {str(active).lower()} }})"
    return {"fn": None, "js": js, "api_visibility": "private"}


def session_of(value: object) -> tuple[str, str]:
    """(conversation, live) of the stage's value; "" for whatever is not a short string."""
    fields = value if isinstance(value, dict) else {}
    found = [fields.get(key) for key in ("conversation", "live")]
    conversation, live = (x if isinstance(x, str) and len(x) <= 64 else "" for x in found)
    return conversation, live


def text_of(value: object) -> str:
    """What a page sent as text. Half a character, of an emoji that was cut, is text to a browser and to nobody else: no
    engine, database or page takes it."""
    return str(value or "").encode(errors="replace").decode()


def language_for(request: gr.Request) -> str:
    return language_of(request.headers.get("accept-language"))


def pressed(event: gr.EventData) -> dict[str, Any]:
    """What a script of ours sent: from a page, so nothing of it is trusted to be there."""
    return event._data if isinstance(event._data, dict) else {}


def warn(error: AvatarError, request: gr.Request) -> None:
    """Show a failure as a toast. The sentence may quote a name, and toasts render HTML: escape it."""
    gr.Warning(html.escape(failure(error, language_for(request))), title="")


def steps(handler: Callable[P, AsyncGenerator[Any, None]]) -> Callable[P, AsyncIterator[Any]]:
    """A handler that yields its outputs, maybe never: Gradio would empty them all then, the conversation too."""

    @wraps(handler)
    async def stepped(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Any]:
        shown = False
        async with aclosing(handler(*args, **kwargs)) as updates:
            async for update in updates:
                shown = True
                yield update
        if not shown:
            yield gr.skip()

    return stepped
