"""GET /avatar/export/{conversation}, or `all` for everything: archives to take away, removed once they were sent."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from avatar.errors import AvatarError, NotFound
from avatar.export import Exports
from avatar.owners import OwnerOf

ALL = "all"  # no conversation's id: those are 32 hexadecimal digits
AT_ONCE = 2  # archives being written, whoever asked


def export_routes(exports: Exports, owner_of: OwnerOf) -> list[BaseRoute]:
    """The owner comes from the request; an id of somebody else's conversation is one that is not there."""
    writing = asyncio.Semaphore(AT_ONCE)

    async def send(make: Callable[[], Path], name: str) -> Response:
        try:
            async with writing:
                path = await asyncio.to_thread(make)
        except AvatarError as error:
            return JSONResponse({"error": error.sentence}, 404 if isinstance(error, NotFound) else 503)
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        remove = BackgroundTask(path.unlink, missing_ok=True)
        return FileResponse(path, media_type="application/zip", filename=name, headers=headers, background=remove)

    async def export(request: Request) -> Response:
        conversation = request.path_params["conversation"]
        if conversation == ALL:
            return await send(lambda: exports.everything(owner_of(request)), "avatar.zip")
        return await send(lambda: exports.conversation(owner_of(request), conversation), "conversation.zip")

    return [Route("/avatar/export/{conversation}", export)]
