"""Two strangers share one open app.py. Whatever one of them sends, nothing of the other is shown or changed."""

import json
import random
import time
import uuid
from collections.abc import Iterator

import pytest
from playwright.sync_api import sync_playwright
from running import NOWHERE, Running
from strangers import CANARY, FOREIGN, FROM, Estate, Guest, attack, attempts, foreign, owner, rows, settle
from websockets.sync.client import connect

from avatar.bench.browser import FLAGS

pytestmark = pytest.mark.slow
SOME = 150  # of the attempts, in `make test`; the campaign makes them all


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data = tmp_path_factory.mktemp("strangers") / "data"
    running = Running(data, {"AVATAR_OPEN": "1"}, options=("--host", "0.0.0.0")).start()
    try:
        running.wait()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def ann(opened: Running) -> Iterator[Guest]:
    guest = Guest(opened, FROM[:50])
    yield guest
    guest.close()


@pytest.fixture(scope="module")
def bob(opened: Running) -> Iterator[Guest]:
    guest = Guest(opened, FROM[50:])
    yield guest
    guest.close()


@pytest.fixture(scope="module")
def estate(ann: Guest, opened: Running) -> Estate:
    return settle(ann, opened)


def raid(opened: Running, ann: Guest, bob: Guest, estate: Estate, most: int | None) -> str:
    """Bob tries `most` of all attempts, or all, while Ann has a live session. Returns what there is to report."""
    stage = next(c for c in opened.config["components"] if c["props"].get("elem_id") == "live")
    body = {"data": {}, "component_id": stage["id"], "fn_name": "token", "session_hash": ann.session}
    token = ann.http.post("/gradio_api/component_server", json=body).json()["token"]
    with connect(opened.url, additional_headers={"Cookie": ann.cookie}, proxy=None) as socket:
        socket.send(json.dumps({"t": "hello", "token": token}))
        live = json.loads(socket.recv(10))["live"]
        before = rows(opened.data, owner(opened, ann))
        assert all(before.values())
        rng = random.Random(20261125)
        tries = list(attempts(opened.config, estate, live, ann.session))
        if most is not None:
            tries = rng.sample(tries, most)
        began = time.monotonic()
        made, seen = attack(bob, tries)
        assert not seen, f"{len(seen)} of {made.total()}: {seen[:5]}"
        assert rows(opened.data, owner(opened, ann)) == before
        heard = []
        try:
            while True:
                heard.append(json.loads(socket.recv(0.2))["t"])
        except TimeoutError:
            assert set(heard) <= {"seats", "state", "idle", "settings"}, heard  # of others no more than their number
    took_s = time.monotonic() - began
    return f"{made.total()} attempts in {took_s:.0f} s, 0 read or changed anything: {dict(made)}"


def test_nothing_of_one_guest_is_shown_to_or_changed_by_another(opened, ann, bob, estate):
    print(raid(opened, ann, bob, estate, SOME))


def test_the_attempts_would_find_something(opened, ann, estate):
    """The same handlers, asked by Ann herself, show it; else the raid would prove nothing."""
    assert CANARY in ann.event("opened", [estate.conversation, 30, ""]).outputs[1]
    assert CANARY in json.dumps(ann.event("taught", []).outputs)
    recording = ann.http.get(f"/avatar/audio/{estate.turns[0]}/reply")
    assert recording.status_code == 200 and recording.headers["content-type"] == "audio/ogg"
    for path in estate.files[:3]:
        assert ann.http.get(f"/gradio_api/file={path}").status_code == 200


def csrf(opened: Running, ann: Guest, estate: Estate, times: int) -> None:
    before = rows(opened.data, owner(opened, ann))
    for origin, path, request in foreign(opened.config, estate, times):
        headers = {"Origin": origin, **request.pop("headers", {})}
        assert ann.http.post(path, headers=headers, **request).status_code == 403, (origin, path)
    assert rows(opened.data, owner(opened, ann)) == before


def test_no_other_page_changes_anything_through_a_guests_browser(opened, ann, estate):
    csrf(opened, ann, estate, 10 * len(FOREIGN))


def test_a_foreign_session_hash_sees_and_stops_nothing(opened, ann, bob, estate):
    """Gradio alone gives outputs and state to whoever repeats a session's name."""
    number = next(d["id"] for d in opened.config["dependencies"] if d["api_name"] == "typed")
    session = uuid.uuid4().hex[:10]
    data = [f"Say {CANARY} twice", NOWHERE, "ann-hashed", "auto", 100]
    assert ann.join(number, data, None, session).status_code == 200
    assert CANARY not in bob.listen(session)
    cancel = {"session_hash": session, "fn_index": number, "event_id": uuid.uuid4().hex}
    assert bob.http.post("/gradio_api/cancel", json=cancel).status_code == 200
    assert CANARY not in bob.http.get("/gradio_api/deep_link", params={"session_hash": session}).text
    told = ann.listen(session)
    assert CANARY in told and '"process_completed"' in told and '"success":true' in told
    assert "ann-hashed" in str(rows(opened.data, owner(opened, ann)))
    # what Gradio keeps of Ann's page: her sayings, as choices
    taught = next(d["id"] for d in opened.config["dependencies"] if d["api_name"] == "taught")
    ann.join(taught, [], None, session)
    assert CANARY in ann.listen(session)
    choose = next(d["id"] for d in opened.config["dependencies"] if d["api_name"] == "choose")
    for asked in ("Anns word", f"{CANARY}"):
        bob.join(choose, [asked], None, session)
        assert f"{CANARY} spoken" not in bob.listen(session)


HOSTILE = "<img src=x onerror=\"window.pwned=1;alert('img')\"><script>window.pwned=2</script><svg onload=alert(3)>"
LINK = "[a](javascript:window.pwned=4) ![b](http://evil.example/x.png)"


@pytest.mark.browser
def test_words_and_names_are_inert_in_the_browser(opened, chromium):
    """With the page's own policy, in the words of a turn, a title, a persona, a saying and a search."""
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        page, dialogs, left = browser.new_page(), [], []
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: left.append(request.url) if "evil.example" in request.url else None)
        page.goto(f"http://127.0.0.1:{opened.port}/")
        page.wait_for_selector(".av-main:not(:empty)")
        carol = Guest(opened, FROM[:5])
        carol.cookie = "; ".join(f"{c['name']}={c['value']}" for c in page.context.cookies())
        for client in carol._clients:
            client.headers["Cookie"] = carol.cookie
        typed = carol.event("typed", [HOSTILE + LINK, NOWHERE, "xss", "auto", 100])
        conversation = typed.outputs[3]["conversation"]
        carol.event("rename", [conversation, HOSTILE[:60]])
        carol.event("keep_persona", [HOSTILE, {"conversation": conversation, "live": ""}])
        carol.event("teach", ["<b>img</b>", "<img src=x onerror=alert(5)>"])
        page.fill("#type textarea", HOSTILE)
        page.press("#type textarea", "Enter")
        page.wait_for_function("document.querySelector('#chat')?.innerText.includes('onerror')", timeout=60_000)
        page.get_by_role("tab", name="History").click()
        page.locator("[data-conversation]").first.wait_for(timeout=15_000)
        for found in page.locator("[data-conversation]").all():
            found.click()
            page.wait_for_function("document.querySelector('#past')?.innerText.includes('onerror')", timeout=15_000)
        page.wait_for_timeout(300)
        assert page.evaluate("window.pwned") is None and dialogs == [] and left == []
        hostile = "[onerror], [onload], #chat script, #past script, #chat svg[onload], a[href^='javascript']"
        assert page.locator(hostile).count() == 0
        carol.close()
        browser.close()
