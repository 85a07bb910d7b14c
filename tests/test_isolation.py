"""Two strangers share one open app.py. Whatever one of them sends, nothing of the other is shown or changed."""

import json
import random
import time
import uuid
from collections.abc import Iterator

import pytest
from attempts import FOREIGN, attack, attempts, foreign, heard
from running import NOWHERE, Running
from strangers import CANARY, FROM, Estate, Guest, owner, rows, settle
from websockets.sync.client import connect

pytestmark = pytest.mark.slow
SOME = 600  # of the attempts, in `make test`; the campaign makes them all


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data = tmp_path_factory.mktemp("strangers") / "data"
    patient = {"AVATAR_IDLE_S": "86400", "AVATAR_IDLE_WARN_S": "80000"}  # Ann's session is silent all the while
    running = Running(data, {"AVATAR_OPEN": "1", **patient}, options=("--host", "0.0.0.0")).start()
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
    cookie = {"Cookie": ann.cookie}
    with connect(opened.url, additional_headers=cookie, proxy=None, ping_interval=None, max_queue=None) as socket:
        socket.send(json.dumps({"t": "hello", "token": ann.token()}))
        estate.ids["live"] = json.loads(socket.recv(10))["live"]
        before = rows(opened.data, owner(opened, ann))
        assert all(before.values())
        tries = list(attempts(opened.config, estate))
        if most is not None:
            tries = random.Random(20261125).sample(tries, most)
        began = time.monotonic()
        made, seen = attack(bob, tries)
        took_s = time.monotonic() - began
        assert not seen, f"{len(seen)} of {made.total()}: {seen[:5]}"
        assert rows(opened.data, owner(opened, ann)) == before
        socket.send('{"t": "alive"}')
        told = [""]
        while told[-1] != "alive":
            told.append(json.loads(socket.recv(10))["t"])
        assert set(told) <= {"", "seats", "state", "idle", "settings", "alive"}, told  # of others, their number
    for kind in ("draft", "preview"):  # what is in memory only is still hers
        assert ann.ask("GET", f"/avatar/voices/{kind}/{estate.ids[kind]}").status_code == 200
    away = f"{bob.turned_away} requests were turned away, and sent again"
    return (
        f"{made.total()} attempts in {took_s:.0f} s, 0 read or changed anything: {dict(sorted(made.items()))}; {away}"
    )


def test_nothing_of_one_guest_is_shown_to_or_changed_by_another(opened, ann, bob, estate):
    print(raid(opened, ann, bob, estate, SOME))


def test_the_attempts_would_find_something(opened, ann, estate):
    """The same handlers and addresses, asked by Ann herself, show it; else the raid would prove nothing."""
    assert CANARY in ann.event("opened", [estate.ids["conversation"], 30, ""]).outputs[1]
    assert CANARY in json.dumps(ann.event("taught", []).outputs)
    addresses = [f"/avatar/audio/{estate.ids['turn']}/reply", f"/avatar/export/{estate.ids['conversation']}"]
    addresses += ["/avatar/export/all", *(f"/gradio_api/file={path}" for path in estate.files[:3])]
    addresses += [f"/avatar/voices/{kind}/{estate.ids[kind]}" for kind in ("draft", "preview")]
    addresses += [f"/avatar/voices/{kind}/{estate.ids['voice']}" for kind in ("clip", "export")]
    assert [address for address in addresses if CANARY not in heard(ann, address, estate).lower()] == []


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
    event = ann.join(number, data, None, session).json()["event_id"]
    assert CANARY not in bob.listen(session)
    for cancelled, status in ((uuid.uuid4().hex, 404), (event, 404)):
        cancel = {"session_hash": session, "fn_index": number, "event_id": cancelled}
        assert bob.http.post("/gradio_api/cancel", json=cancel).status_code == status
    for way in (f"call/typed/{event}", f"call/v2/typed/{event}", "deep_link"):
        assert CANARY not in bob.http.get(f"/gradio_api/{way}", params={"session_hash": session}).text
    assert bob.http.post(f"/gradio_api/stream/{event}/close").status_code == 404
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
