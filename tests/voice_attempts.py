"""Bob tries to list, hear, use, change and delete what is Ann's: by every handler of the page and every file route.

Not a test itself: `attempt` makes so many attempts against a real page over HTTP and returns what they met.
"""

import functools
import inspect
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
from assistants import make_assistant
from page_server import built
from studios import SPEECH, studio_in

from avatar.assistant import Assistant
from avatar.bench.served import free_port
from avatar.errors import NotFound
from avatar.preview import Previews
from avatar.server import routes
from avatar.settings import Settings
from avatar.ui.page import launch_options

SECRETS = ("Wilhelmina Quux", "zanzibar tortoise lullaby", "kept in the attic")
MISSING = "0f" * 16
# Every handler that is given a voice, a draft or a sentence: each must have been reached, not only refused by Gradio.
LISTENED = {
    f"ListEvents.{name}"
    for name in ("shown", "preview", "use", "ask_voice_name", "rename_voice", "ask_voice_delete", "delete_voice",
                 "profiles_listed")
} | {f"NewEvents.{name}" for name in ("cleared", "cut", "consenting", "sentence", "save")} | {
    "ReplyVoiceEvents.choose_voice", "ForkEvents.fork", "FoundEvents.listed", "FoundEvents.voices_heard",
}  # fmt: skip


reached = Counter[str]()  # handlers that were called with what came through Gradio


def noted(handler: Any) -> Any:
    """The same handler, which leaves its name in `reached`. Gradio looks at the signature, which is kept."""
    if handler is None:
        return None
    name = getattr(handler, "__qualname__", "?")
    if inspect.isasyncgenfunction(handler):

        @functools.wraps(handler)
        async def steps(*values: Any) -> Any:
            reached[name] += 1
            async for step in handler(*values):
                yield step

        return steps
    if inspect.iscoroutinefunction(handler):

        @functools.wraps(handler)
        async def later(*values: Any) -> Any:
            reached[name] += 1
            return await handler(*values)

        return later

    @functools.wraps(handler)
    def now(*values: Any) -> Any:
        reached[name] += 1
        return handler(*values)

    return now


def who(connection: Any) -> str:
    """The owner, from a header, which here stands for a login."""
    owner = connection.headers.get("x-owner")
    if not owner:
        raise NotFound("Log in first.", code="LOGIN")
    return str(owner)


@contextmanager
def anns_page(data: Path, make_pool: Callable[..., Any], monkeypatch: Any) -> Iterator[tuple[str, Assistant, Any]]:
    """A served page, and the blocks behind it."""
    # Her sentence and her draft do not grow old, however long it takes: at the end they must be as they were.
    with studio_in(data / "voices-of-ann", make_pool, clock=lambda: 0.0) as studio:
        assistant = make_assistant(Settings(data=data / "data"), make_pool)
        assistant.studio, assistant.previews = studio, Previews(studio, studio._pipeline)
        blocks = built(assistant, who)  # type: ignore[arg-type]
        for kind in (gr.Radio, gr.Dropdown):  # Gradio refuses what is not among their choices, which would hide our no
            monkeypatch.setattr(kind, "preprocess", lambda _, payload: payload)
        reached.clear()
        for function in blocks.fns.values():
            function.fn = noted(function.fn)
        _, address, _ = blocks.queue(api_open=False).launch(
            server_name="127.0.0.1",
            server_port=free_port(),
            prevent_thread_lock=True,
            quiet=True,
            blocked_paths=[str(data)],
            app_kwargs={"routes": routes(assistant, who)},
            **launch_options(),
        )
        try:
            yield address, assistant, blocks
        finally:
            blocks.close()
            assistant.store.close()
            assistant.pool.close()


async def attempt(count: int, seed: int, address: str, assistant: Assistant, blocks: Any) -> dict[str, int]:
    """`count` calls as Bob, or as nobody. Asserts that none of them tells or changes anything of Ann's."""
    studio, dice = assistant.studio, random.Random(seed)
    assert studio is not None and assistant.previews is not None
    draft = await studio.open("ann", SPEECH / "jfk.flac")
    hers = studio.save(
        "ann", draft.id, name=SECRETS[0], words=SECRETS[1], language="en", whose="mine", person="", note=SECRETS[2]
    )
    studio.voices.set_default("ann", hers.id)
    draft = await studio.open("ann", SPEECH / "ms_two_cities.flac")
    challenge = studio.sentence("ann", "en")
    preview = await assistant.previews.begin("ann", hers.id, SECRETS[1])
    before = studio.voices.of("ann"), studio.voices.default("ann")
    folder = studio.voices._folder / hers.id
    ids = [hers.id, draft.id, challenge.id, preview.id, MISSING, "", str(folder / "clip.flac"), "../" + hers.id]
    recording = studio.voices.clip("ann", hers.id)[2000:2064]
    handlers = [i for i, block in blocks.fns.items() if block.fn is not None]
    paths = [f"/avatar/voices/{kind}/{it}" for kind in ("clip", "export", "draft", "preview") for it in ids if it]
    paths += [f"/gradio_api/file={folder / 'clip.flac'}", f"/file={folder / 'clip.flac'}"]
    paths += [f"/gradio_api/file=..%2f..{folder}/clip.flac", f"/avatar/audio/{hers.id}/reply"]
    met: Counter[str] = Counter()
    async with httpx.AsyncClient(base_url=address, timeout=60) as http:
        for number in range(count):
            owner = dice.choice([{"x-owner": "bob"}, {"x-owner": "bob"}, {"x-owner": "anna"}, {}])
            if dice.random() < 0.3:
                answer = await http.get(dice.choice(paths), headers=owner)
                status, body = answer.status_code, answer.content
                met[f"route {status}"] += 1
                assert status != 200, f"{answer.request.url} {owner}"
            else:
                handler = dice.choice(handlers)
                data = [value(component, ids, draft, dice) for component in blocks.fns[handler].inputs]
                body = await called(http, handler, data, f"s{seed}-{number % 20}", owner)
                met["handler"] += 1
            assert recording not in body and not any(secret.encode() in body for secret in SECRETS), (owner, body[:999])
    assert (studio.voices.of("ann"), studio.voices.default("ann")) == before
    assert studio.draft("ann", draft.id) == draft, "her draft was changed"
    assert assistant.previews.get("ann", preview.id) is preview
    assert studio._sentences.take("ann", challenge.id) == challenge, "her sentence was used up"
    met["reached"] = sum(reached.values())
    met["not reached"] = len(LISTENED - reached.keys())
    return dict(met)


def value(component: Any, ids: list[str], draft: Any, dice: random.Random) -> Any:
    """Something that this input may be sent: mostly an id or a path of Ann's."""
    kind = type(component).__name__
    if kind in ("Slider", "Number"):
        return dice.choice([0, 1.5, 9, draft.end_s])
    if kind == "Checkbox":
        return dice.random() < 0.8
    if kind in ("Audio", "UploadButton", "File"):
        return dice.choice([None, {"path": ids[6], "meta": {"_type": "gradio.FileData"}}])
    if kind == "HTML":
        return {"conversation": dice.choice(ids)[:64], "live": dice.choice(ids)[:64]}
    return dice.choice([*ids, "mine", "permitted", "Hello."])


async def called(http: httpx.AsyncClient, handler: int, data: list[Any], session: str, owner: dict[str, str]) -> bytes:
    """What the queue answers to one call by `fn_index`."""
    body = {"data": data, "fn_index": handler, "session_hash": session, "event_data": None, "trigger_id": None}
    joined = await http.post("/gradio_api/queue/join", json=body, headers=owner)
    if joined.status_code != 200:
        return joined.content
    heard = b""
    async with http.stream("GET", f"/gradio_api/queue/data?session_hash={session}", headers=owner) as stream:
        async for line in stream.aiter_lines():
            heard += line.encode()
            if line.startswith("data:") and json.loads(line[5:]).get("msg") in ("process_completed", "close_stream"):
                break
    return heard
