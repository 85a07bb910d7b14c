"""What our own routes promise, as OpenAPI, for schemathesis to hold them to. Not a test itself."""

from typing import Any

ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string", "pattern": r"\.$"}}}
NOT_HERE: dict[str, Any] = {
    "404": {
        "description": "not there, or not yours",
        "content": {"application/json": {"schema": ERROR}, "text/plain": {"schema": {"type": "string"}}},
    },
    "503": {"description": "the disk refuses", "content": {"application/json": {"schema": ERROR}}},
}
PRIVATE = {"Cache-Control": {"required": True, "schema": {"type": "string", "pattern": "private|no-store"}}}
HEADERS = [
    {"in": "header", "name": name, "schema": {"type": "string"}} for name in ("Range", "If-Range", "Accept", "Cookie")
]


def sent(kind: str, *parameters: str, ranges: bool = False) -> dict[str, Any]:
    """A GET that sends a file of `kind`."""
    content = {"description": "the file", "headers": PRIVATE, "content": {kind: {}}}
    responses = {"200": content, **NOT_HERE}
    if ranges:
        refused = {"description": "no such range, or one that cannot be read", "content": {"text/plain": {}}}
        responses |= {"206": {**content, "content": {kind: {}, "multipart/byteranges": {}}}, "400": refused}
        responses |= {"416": refused}
    text = {"type": "string", "minLength": 1, "maxLength": 80}
    asked = [{"in": "path", "name": name, "required": True, "schema": text} for name in parameters]
    return {"get": {"parameters": [*asked, *HEADERS], "responses": responses}}


def openapi() -> dict[str, Any]:
    """All of our routes but the socket."""
    ready = {"type": "object", "required": ["ready"], "properties": {"ready": {"type": "boolean"}}}
    readiness = {"description": "ready or not", "content": {"application/json": {"schema": ready}}}
    plain = {"description": "text", "content": {"text/plain": {}}}
    denied = {"description": "not the operator", "content": {"application/json": {"schema": ERROR}}}
    paths = {
        "/healthz": {"get": {"parameters": HEADERS, "responses": {"200": plain}}},
        "/readyz": {"get": {"parameters": HEADERS, "responses": {"200": readiness, "503": readiness, "401": denied}}},
        "/metrics": {"get": {"parameters": HEADERS, "responses": {"200": plain, "401": denied}}},
        "/avatar/audio/{turn}/{side}": sent("audio/ogg", "turn", "side", ranges=True),
        "/avatar/export/{conversation}": sent("application/zip", "conversation", ranges=True),
        "/avatar/voices/clip/{it}": sent("audio/flac", "it"),
        "/avatar/voices/export/{it}": sent("application/octet-stream", "it"),
        "/avatar/voices/draft/{it}": sent("audio/wav", "it"),
        "/avatar/voices/preview/{it}": sent("audio/wav", "it"),
    }
    return {"openapi": "3.0.2", "info": {"title": "AVATAR", "version": "1"}, "paths": paths}
