"""The socket's door: who gets in, who is told to go, what ends one session and no other."""

import asyncio
import json
import logging
import socket as sockets
import time

import numpy as np
import pytest
from assistants import AUTH, one_turn
from fakes import FakeTTS, Trouble
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

import app as application
from avatar import server
from avatar.outbox import MOST
from avatar.wire import MAX_MIC_BYTES


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"Origin": "http://evil.example"}, True),
        ({"Origin": "null"}, True),
        ({"Host": "evil.example"}, True),
        ({}, False),
    ],
)
async def test_a_foreign_page_gets_no_socket(open_door, headers, refused):
    here = await open_door()
    uri, origin = f"ws://{here.host}/avatar/ws", headers.pop("Origin", None)
    if "Host" in headers:  # the address says who is connected to, the URI what is asked for
        address, port = here.host.split(":")
        uri, opening = f"ws://{headers['Host']}/avatar/ws", {"host": address, "port": int(port)}
    else:
        opening = {}
    if refused:
        with pytest.raises(InvalidStatus) as error:
            async with connect(uri, origin=origin, proxy=None, **opening):
                pass
        assert error.value.response.status_code == 403
    else:
        async with connect(uri, origin=f"http://{here.host}", proxy=None):
            pass


async def test_a_socket_that_says_nothing_is_closed(open_door, monkeypatch):
    monkeypatch.setattr(server, "HELLO_S", 0.05)
    here = await open_door()
    async with here.socket() as page:
        assert await page.closed() == 4400
    assert here.assistant.seats.count() == 0


@pytest.mark.parametrize(
    "first",
    [
        b"\0\0",
        "{",
        "[]",
        '{"t": "say", "text": "hi"}',
        '{"t": "hello"}',
        '{"t": "hello", "token": "x", "owner": "ann"}',
    ],
)
async def test_a_wrong_first_message_is_refused(open_door, first):
    here = await open_door()
    async with here.socket() as page:
        await page.ws.send(first)
        assert await page.closed() == 4400
    if isinstance(first, str):
        assert page.seen[0]["code"] == "BAD_MESSAGE" and "Reload it." in page.seen[0]["text"]
    assert here.assistant.seats.count() == 0


async def test_a_page_that_leaves_before_hello_is_no_error(open_door, caplog):
    here = await open_door()
    for _ in range(5):
        async with here.socket():
            pass
    async with here.socket() as page:
        page.ws.transport.abort()
    async with here.page():
        assert here.assistant.seats.count() == 1
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


async def test_a_token_opens_one_socket(open_door):
    here = await open_door()
    token = here.assistant.issue_token("local")
    async with here.socket() as page:
        await page.send("hello", token=token)
        await page.until("ready")
    for wrong in (token, "x" * 43, ""):
        async with here.socket() as page:
            await page.send("hello", token=wrong)
            assert await page.closed() == 4401
        assert page.seen[0]["code"] == "BAD_TOKEN"


async def test_with_a_password_token_and_login_must_be_of_one_person(open_door):
    here = await open_door(host="0.0.0.0", auth=AUTH)
    here.app.tokens |= {"a-cookie": "ann", "b-cookie": "bob"}
    for cookie in ("access-token-unsecure-id=a-cookie", "access-token-id=a-cookie"):
        async with here.page("ann", {"Cookie": cookie}) as page:
            assert page.seen[0]["n"] == 1
    async with here.socket(Cookie="access-token-unsecure-id=b-cookie") as page:
        await page.send("hello", token=here.assistant.issue_token("ann"))
        assert await page.closed() == 4401
    async with here.socket() as page:
        await page.send("hello", token=here.assistant.issue_token("ann"))
        assert await page.closed() == 4500
    assert page.seen[0]["text"] == "Log in first."
    assert here.assistant.seats.count() == 0


async def test_the_sixth_is_refused_at_once_in_words(open_door):
    here = await open_door()
    pages = [here.page() for _ in range(5)]
    for page in pages:
        await page.__aenter__()
    waits: list[float] = []

    async def ask(times: int) -> None:
        for _ in range(times):
            async with here.socket() as sixth:
                token = here.assistant.issue_token("local")
                started = time.perf_counter()
                await sixth.send("hello", token=token)
                refusal = await sixth.until("error")
                waits.append(time.perf_counter() - started)
                assert await sixth.closed() == 4429
            assert refusal["code"] == "SERVER_FULL" and refusal["n"] == refusal["of"] == 5
            assert refusal["text"] == "All 5 seats are taken. A seat frees up when someone ends or closes the page."

    await asyncio.gather(*(ask(25) for _ in range(8)))
    print(f"SERVER_FULL: p50 {np.percentile(waits, 50) * 1000:.1f} ms, p99 {np.percentile(waits, 99) * 1000:.1f} ms")
    # other tests run beside it; `python -m avatar.bench talk` holds the p99 to 250 ms, on the real app
    assert len(waits) == 200 and np.percentile(waits, 50) <= 1 and np.percentile(waits, 99) <= 2.5
    assert here.assistant.seats.count() == 5
    for page in pages:
        await page.__aexit__(None, None, None)
    await here.wait(lambda: here.assistant.seats.count() == 0)


@pytest.mark.parametrize(
    "frames",
    [
        [b"\0" * (MAX_MIC_BYTES + 2)],
        [b"\0\0\0"],
        [b"\0" * MAX_MIC_BYTES] * 12,  # 12 s of sound at once
        ["x" * 70_000],
        ['{"t": "shout"}'],
    ],
    ids=["oversize", "odd", "flood", "long", "unknown"],
)
async def test_a_page_that_breaks_the_protocol_is_told_and_closed(open_door, frames):
    here = await open_door()
    async with here.page() as page:
        for frame in frames:
            await page.ws.send(frame)
        assert await page.closed() == 1000
    assert page.seen[-1]["t"] == "error" and page.seen[-1]["code"] == "BAD_MESSAGE"
    await here.wait(lambda: here.assistant.seats.count() == 0)


async def test_time_without_sound_does_not_add_up_to_a_flood(open_door, monkeypatch):
    monkeypatch.setattr(server, "BURST_S", 0.1)
    here = await open_door()
    async with here.page() as page:
        await asyncio.sleep(0.4)  # muted, say
        for _ in range(4):
            await page.ws.send(b"\0" * (MAX_MIC_BYTES // 10))
        assert await page.closed() == 1000


async def test_a_page_that_reads_nothing_is_closed_and_costs_no_memory(open_door, monkeypatch):
    monkeypatch.setattr(server, "SEND_S", 0.3)
    here = await open_door()
    address, port = here.host.split(":")
    slow = sockets.socket()
    slow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    slow.connect((address, int(port)))
    async with connect(f"ws://{here.host}/avatar/ws", sock=slow, proxy=None, compression=None, close_timeout=0.2) as ws:
        await ws.send(json.dumps({"t": "hello", "token": here.assistant.issue_token("local")}))
        await here.wait(lambda: here.assistant.live)
        (conversation,) = here.assistant.live.values()
        ws.transport.pause_reading()
        for _ in range(2 * MOST):
            conversation.notice("FULL", "x" * 10_000)
        assert conversation.outbox.qsize() <= MOST + 1
        await here.wait(lambda: here.assistant.seats.count() == 0 and not here.assistant.live)
        ws.transport.abort()


async def test_an_idle_seat_is_warned_then_freed(open_door, monkeypatch):
    monkeypatch.setattr("avatar.attendant.WATCH_S", 0.02)
    here = await open_door(idle_warn_s=0.1, idle_s=0.8)
    async with here.page() as page:
        assert (await page.until("idle"))["left_s"] in (0, 1)
        assert await page.closed() == 1000
    assert page.seen[-1]["code"] == "IDLE"
    assert len([message for message in page.seen if message["t"] == "idle"]) == 1
    await here.wait(lambda: here.assistant.seats.count() == 0)


async def test_pages_are_told_how_many_seats_are_taken(open_door, monkeypatch):
    monkeypatch.setattr("avatar.attendant.WATCH_S", 0.02)
    here = await open_door()
    async with here.page() as first:
        async with here.page():
            assert (await first.until("seats", n=2))["of"] == 5
        await first.until("seats", n=1)


async def test_a_bug_ends_one_session_in_words_and_no_other(open_door, caplog, monkeypatch):
    here = await open_door()
    async with here.page() as broken, here.page() as other:
        victim = next(iter(here.assistant.live.values()))
        monkeypatch.setattr(type(victim), "mute", lambda self, on: int("their words"))
        await broken.send("mute", on=True)
        assert await broken.closed() == 1000
        assert broken.seen[-1]["code"] == "BUG" and "ValueError" not in json.dumps(broken.seen)
        saved = await one_turn(other, "are you there", "t1")
        assert saved["state"] == "done"
    (line,) = [record.getMessage() for record in caplog.records if "bug" in record.message]
    assert "ValueError" in line and "invalid literal" not in line  # where and what kind, without what was said


async def test_an_engine_that_fails_is_said_and_the_session_goes_on(open_door):
    trouble = Trouble(fail_on=(1,))
    here = await open_door(tts=FakeTTS(trouble))
    async with here.page() as page:
        await page.send("say", text="hello", client_turn_id="t1")
        error = await page.until("error")
        assert error["code"] == "ENGINE_FAILED" and "secret" not in error["text"]
        end = await page.until("end")
        assert end["samples"] == 0
        await page.send("played", turn=end["turn"], samples=0)
        assert (await page.until("saved"))["state"] == "failed"
        assert here.assistant.seats.count() == 1


@pytest.mark.parametrize("options", [["--share"], ["--host", "0.0.0.0"], ["--host", "192.168.1.5"]])
def test_what_others_can_reach_does_not_start_without_a_password(options, capsys, monkeypatch):
    monkeypatch.delenv("AVATAR_AUTH", raising=False)
    assert application.main(options) == 1
    said = capsys.readouterr().err
    assert "needs a password: set AVATAR_AUTH=user:secret" in said and "Traceback" not in said
