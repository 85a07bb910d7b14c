"""The routes of voices: a recording, a draft and a preview to hear, an archive to take along. Each asks whose it is."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from avatar import voice_archive
from avatar.audio import wav_bytes
from avatar.errors import AvatarError, NotFound
from avatar.owners import OwnerOf
from avatar.preview import Previews
from avatar.studio import Studio

PRIVATE = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
_PLAIN = re.compile("[^0-9A-Za-z_-]+")


def voice_routes(studio: Studio, previews: Previews, owner_of: OwnerOf) -> list[BaseRoute]:
    def guarded(answer: Callable[[str, str], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def route(request: Request) -> Response:
            try:
                return await answer(owner_of(request), request.path_params["it"])
            except AvatarError as error:
                return JSONResponse({"error": error.sentence}, 404 if isinstance(error, NotFound) else 503)

        return route

    async def clip(owner: str, profile_id: str) -> Response:
        data = await asyncio.to_thread(studio.voices.clip, owner, profile_id)
        return Response(data, media_type="audio/flac", headers=PRIVATE)

    async def archive(owner: str, profile_id: str) -> Response:
        profile = await asyncio.to_thread(studio.voices.get, owner, profile_id)
        data = voice_archive.pack(profile, await asyncio.to_thread(studio.voices.clip, owner, profile_id))
        plain = _PLAIN.sub("-", profile.name).strip("-") or "voice"
        name = f"{plain}{voice_archive.SUFFIX}"
        whole = quote(f"{profile.name}{voice_archive.SUFFIX}")
        kept = {"Content-Disposition": f"attachment; filename=\"{name}\"; filename*=UTF-8''{whole}"}
        return Response(data, media_type="application/octet-stream", headers=PRIVATE | kept)

    async def draft(owner: str, draft_id: str) -> Response:
        heard = studio.draft(owner, draft_id).heard
        return Response(wav_bytes(heard.samples, heard.rate), media_type="audio/wav", headers=PRIVATE)

    async def preview(owner: str, preview_id: str) -> Response:
        return StreamingResponse(previews.get(owner, preview_id).wav(), media_type="audio/wav", headers=PRIVATE)

    answers = {"clip": clip, "export": archive, "draft": draft, "preview": preview}
    return [Route(f"/avatar/voices/{name}/{{it}}", guarded(answer)) for name, answer in answers.items()]
