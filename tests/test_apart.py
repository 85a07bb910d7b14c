import json
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from avatar import apart
from avatar.apart import Apart, Told
from avatar.errors import NotFound


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "gradio"


@pytest.fixture
def app(folder):
    """Stands for Gradio: it echoes names, and tells of files as Gradio does."""

    def owner_of(connection):
        if not (name := connection.cookies.get("who")):
            raise NotFound("Log in first.", code="LOGIN")
        return name

    async def echo(request: Request) -> JSONResponse:
        body = await request.body()
        return JSONResponse(
            {
                "path": request.url.path,
                "query": list(request.query_params.multi_items()),
                "body": body.decode("latin-1"),
                "event_id": f"event-of-{request.cookies.get('who')}",
            }
        )

    async def upload(_: Request) -> JSONResponse:
        return JSONResponse([str(folder / "ab" / "mine.wav")])

    async def data(request: Request) -> StreamingResponse:
        value = json.dumps(
            {"output": {"data": [{"path": request.query_params["file"]}, request.query_params["words"]]}}
        )
        return StreamingResponse(iter([f"data: {value}\n\n"]), media_type="text/event-stream")

    async def file(_: Request) -> PlainTextResponse:
        return PlainTextResponse("sound")

    routes = [
        Route("/gradio_api/upload", upload, methods=["POST"]),
        Route("/gradio_api/queue/data", data),
        Route("/gradio_api/file={path:path}", file),
        Route("/gradio_api/file/{path:path}", file),
        Route("/{path:path}", echo, methods=["GET", "POST"]),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Apart, owner_of=owner_of, folder=str(folder))])


@pytest.fixture
def ann(app):
    with TestClient(app, cookies={"who": "ann"}) as client:
        yield client


@pytest.fixture
def bob(app, ann):
    return TestClient(app, cookies={"who": "bob"})


@pytest.fixture
def nobody(app, ann):
    return TestClient(app)


def names(client: TestClient) -> set[str]:
    """What the session `x` of this client is called behind the door, wherever it is named."""
    said = {client.get("/gradio_api/heartbeat/x").json()["path"].rpartition("/")[2]}
    said.add(client.get("/gradio_api/stream/x/run/1/playlist.m3u8").json()["path"].split("/")[3])
    said |= {value for _, value in client.get("/gradio_api/deep_link?session_hash=x&session_hash=x").json()["query"]}
    said.add(dict(client.get("/gradio_api/upload_progress?upload_id=x").json()["query"])["upload_id"])
    for path in ("queue/join", "cancel", "component_server", "run/x", "api/x"):
        body = client.post(f"/gradio_api/{path}", content='{"session_hash": "y", "session_hash": "x", "a": 1}').json()
        sent = json.loads(body["body"])
        assert sent["a"] == 1
        said.add(sent["session_hash"])
    return said


def test_one_name_is_another_session_for_everybody(ann, bob, nobody):
    anns, bobs, nobodys = names(ann), names(bob), names(nobody)
    assert len(anns) == len(bobs) == len(nobodys) == 1 and "x" not in anns
    assert len(anns | bobs | nobodys) == 3
    (hers,) = anns
    assert names(ann) == anns and hers not in bob.get(f"/gradio_api/deep_link?session_hash={hers}").text


def test_what_gradio_chose_is_left_alone(ann):
    assert ann.get("/config?session_hash=x").json()["query"] == [["session_hash", "x"]]
    assert ann.post("/login", data={"username": "ann"}).json()["body"] == "username=ann"


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b"\xff\xfe", b"9" * 5000, b'{"a": NaN'])
def test_what_is_not_json_goes_no_further(ann, body):
    assert ann.post("/gradio_api/queue/join", content=body).status_code == 400


def test_json_comes_through_as_it_was(ann):
    sent = {"data": ["é\ud800\U0001f600", None, 1.5, {"a": []}], "event_data": None}
    body = ann.post("/gradio_api/queue/join", content=json.dumps(sent)).json()["body"]
    assert json.loads(body) == sent
    assert ann.post("/gradio_api/queue/join").json()["body"] == ""


def test_an_event_is_for_who_joined_it(ann, bob, nobody, folder):
    """Gradio gives its outputs to who names it, stops it for who names it, and takes its data from who names it."""
    cancel = {"session_hash": "x", "fn_index": 1, "event_id": "event-of-ann"}
    ways = ("/gradio_api/cancel", "/gradio_api/stream/event-of-ann", "/gradio_api/stream/event-of-ann/close")
    assert {ann.post(way, json=cancel).status_code for way in ways} == {404}
    assert ann.post("/gradio_api/queue/join", json={}).status_code == 200
    for way in ways:
        told = [client.post(way, json=cancel).status_code for client in (ann, bob, nobody)]
        assert told == [200, 404, 404]
    for client in (ann, bob, nobody):  # no page reads events that way
        assert client.get("/gradio_api/call/typed/event-of-ann").status_code == 404
        assert client.post("/gradio_api/call/typed", json={"data": []}).status_code == 404


def test_a_form_is_for_uploads_only(ann):
    form = {"files": {"session_hash": ("a", b"x")}}
    assert ann.post("/gradio_api/component_server", **form).status_code == 415
    assert ann.post("/gradio_api/upload", **form).status_code == 200
    assert ann.post("/gradio_api/upload", json=[0]).status_code == 415  # it may be large, and is not parsed


def test_a_file_is_for_who_was_told_of_it(ann, bob, nobody, folder):
    path = f"{folder}/ab/mine.wav"
    addresses = [
        f"/gradio_api/file={path}",
        f"/gradio_api/file/{path}",
        f"/gradio_api/file={folder}/x/../ab/./mine.wav",
    ]
    assert {ann.get(address).status_code for address in addresses} == {404}
    assert ann.post("/gradio_api/upload", files={"files": ("mine.wav", b"x")}).status_code == 200
    for address in addresses:
        assert (ann.get(address).status_code, bob.get(address).status_code) == (200, 404)
        assert nobody.get(address).status_code == 404 and bob.head(address).status_code == 404
    sneaky = f"/gradio_api/file={path}/../../gradio_api/file/../ab/mine.wav"
    assert bob.get(sneaky).status_code == 404
    assert bob.get("/gradio_api/file=/elsewhere/x").status_code == 200  # that is Gradio's to refuse
    assert bob.get("/gradio_api/file=%00").status_code == 404


def test_nobody_passes_anothers_file_on_as_an_upload(ann, bob, folder):
    ann.post("/gradio_api/upload", files={"files": ("mine.wav", b"x")})
    for spelling in (f"{folder}/ab/mine.wav", f"{folder}/../{folder.name}/ab/mine.wav"):
        body = {"data": [[{"deep": {"path": spelling, "meta": {"_type": "gradio.FileData"}}}]], "session_hash": "x"}
        assert ann.post("/gradio_api/queue/join", json=body).status_code == 200
        assert bob.post("/gradio_api/queue/join", json=body).status_code == 404


def test_words_that_look_like_a_file_tell_nothing(bob, folder):
    words = f'data: {{"path": "{folder}/ab/mine.wav"}}\n{folder}/ab/mine.wav'
    bob.get("/gradio_api/queue/data", params={"file": f"{folder}/own.wav", "words": words})
    assert bob.get(f"/gradio_api/file={folder}/own.wav").status_code == 200
    assert bob.get(f"/gradio_api/file={folder}/ab/mine.wav").status_code == 404


def test_a_link_out_of_the_folder_is_no_way_around(folder, tmp_path):
    (folder / "ab").mkdir(parents=True)
    (tmp_path / "link").symlink_to(folder)
    told = Told(str(folder))
    assert not told.may("bob", str(tmp_path / "link" / "ab" / "mine.wav"))


def test_what_is_remembered_is_bounded(folder, monkeypatch):
    monkeypatch.setattr(apart, "REMEMBERED", 2)
    told = Told(str(folder))
    for name in ("1", "2", "1", "3"):
        told.add("ann", f"{folder}/{name}")
    assert [told.may("ann", f"{folder}/{name}") for name in "123"] == [True, False, True]
