"""Two fronts behind a real proxy, with the configuration of docs/deploy: every turn of an owner is with one of them."""

import json
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from running import ROOT, Running
from websockets.sync.client import connect

from avatar import move
from avatar.bench.served import free_port
from avatar.guests import KEY_FILE, Guests

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed: apt-get install nginx-light"),
]
NAME = "talk.example.org"
GUESTS, VISITS, TURNS = 8, 2, 1
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")  # folders of nginx


@dataclass
class House:
    fronts: list[Running]
    port: int  # of the proxy
    moved: Path
    proxy: subprocess.Popen[bytes]

    def reload(self) -> None:
        """Blocks until the proxy's new workers are alone."""
        master, late = psutil.Process(self.proxy.pid), time.monotonic() + 30
        old = set(master.children())
        self.proxy.send_signal(signal.SIGHUP)
        while old & set(master.children()):
            assert time.monotonic() < late, "old workers stay"
            time.sleep(0.02)

    def turns(self, number: int) -> dict[str, int]:
        """Owner -> turns that a front keeps."""
        with closing(sqlite3.connect(self.fronts[number].data / "avatar.db")) as database:
            sql = "SELECT owner, count(*) FROM turns JOIN conversations c ON c.id = conversation GROUP BY owner"
            return dict(database.execute(sql).fetchall())

    def where(self, owner: str) -> list[int]:
        return [number for number in range(len(self.fronts)) if owner in self.turns(number)]


class Guest:
    """A browser with an empty cookie jar, at the proxy."""

    def __init__(self, house: House) -> None:
        self._house = house
        base = f"http://127.0.0.1:{house.port}"
        self.http = httpx.Client(base_url=base, headers={"Host": NAME}, trust_env=False, timeout=60)
        self.http.get("/").raise_for_status()
        self.cookie = self.http.cookies["avatar_guest"]
        self.owner = f"guest:{self.cookie.partition('.')[0]}"
        self.met = set[str]()

    def visit(self, turns: int) -> str:
        """Load the page, talk over a socket, leave. Returns the conversation."""
        config = self._get("/config").json()
        stage = next(c for c in config["components"] if c["props"].get("elem_id") == "live")
        body = {"data": {}, "component_id": stage["id"], "fn_name": "token", "session_hash": "s"}
        answer = self.http.post("/gradio_api/component_server", json=body)
        self.met.add(answer.headers["x-front"])
        headers, there = {"Cookie": f"avatar_guest={self.cookie}"}, ("127.0.0.1", self._house.port)
        with connect(
            f"ws://{NAME}/avatar/ws", sock=socket.create_connection(there), additional_headers=headers, max_size=None
        ) as ws:
            self.met.add(ws.response.headers["x-front"])  # type: ignore[union-attr]
            ws.send(json.dumps({"t": "hello", "token": answer.json()["token"]}))
            conversation = str(_until(ws, "ready")["conversation"])
            for number in range(turns):
                ws.send(json.dumps({"t": "say", "text": f"Hello {number}", "client_turn_id": f"t{number}"}))
                end = _until(ws, "end")
                ws.send(json.dumps({"t": "played", "turn": end["turn"], "samples": end["samples"]}))
                assert _until(ws, "saved")["state"] == "done"
            ws.send(json.dumps({"t": "bye"}))
        return conversation

    def front(self) -> str:
        return self._get("/config").headers["x-front"]

    def _get(self, path: str) -> httpx.Response:
        answer = self.http.get(path)
        self.met.add(answer.headers["x-front"])
        return answer


def _until(ws, kind: str) -> dict:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        raw = ws.recv(60)
        if isinstance(raw, str) and (message := json.loads(raw))["t"] == kind:
            return message
    raise AssertionError(f"no {kind}")


def proxied(folder: Path, ports: list[int], port: int) -> Path:
    """The configuration that we tell others to use, without TLS and with these ports."""
    text = (ROOT / "docs" / "deploy" / "nginx-fronts.conf").read_text()
    for number, front in enumerate(ports, 7861):
        assert str(number) in text
        text = text.replace(f"127.0.0.1:{number}", f"127.0.0.1:{front}")
    text = text.replace("listen 443 ssl http2;", f"listen 127.0.0.1:{port};").replace("avatar.example.org", NAME)
    text = re.sub(r" *ssl_certificate.*\n", "", text).replace("/etc/nginx/avatar-moved", f"{folder}/avatar-moved")
    text = text.replace("location / {", "location / {\n        add_header X-Front $upstream_addr always;")
    conf = folder / "nginx.conf"
    head = (
        f"user root;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\nevents {{}}\nhttp {{\naccess_log off;\n"
    )
    paths = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in TEMPORARY)
    conf.write_text(head + paths + text + "\n}\n")
    return conf


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("fronts")
    env = {"AVATAR_OPEN": "1", "AVATAR_ALLOWED_HOSTS": NAME}
    first, second = folder / "one", folder / "two"
    Guests.open(first)
    second.mkdir(mode=0o700)
    shutil.copy(first / KEY_FILE, second / KEY_FILE)  # fronts of one house know each other's guests
    fronts = [Running(data, env).start() for data in (first, second)]
    port = free_port()
    conf = proxied(folder, [front.port for front in fronts], port)
    proxy = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(conf), "-g", "daemon off;"])
    try:
        for front in fronts:
            front.wait()
        yield House(fronts, port, folder / "avatar-moved-1.map", proxy)
    finally:
        proxy.terminate()
        proxy.wait(10)
        for front in fronts:
            front.stop()


@pytest.fixture(scope="module")
def guests(house: House) -> Iterator[list[Guest]]:
    everybody = [Guest(house) for _ in range(GUESTS)]
    while len({guest.front() for guest in everybody}) < 2:  # eight coins may all fall on one side
        everybody.append(Guest(house))
    for _ in range(VISITS):
        for guest in everybody:
            guest.visit(TURNS)
    yield everybody
    for guest in everybody:
        guest.http.close()


def test_no_turn_is_on_the_wrong_shard(house: House, guests: list[Guest]) -> None:
    kept = [house.turns(number) for number in (0, 1)]
    assert all(kept), "both fronts have somebody"
    for guest in guests:
        assert [front.get(guest.owner) for front in kept] in ([VISITS * TURNS, None], [None, VISITS * TURNS])
        assert len(guest.met) == 1, "pages, tokens and sockets reach the same front"
    assert sum(sum(front.values()) for front in kept) == len(guests) * VISITS * TURNS
    every = [sum(front.values()) for front in kept]
    print(f"{sum(every)} turns of {len(guests)} owners: {every}, 0 elsewhere")


def test_an_owner_is_moved_while_both_fronts_run(house: House, guests: list[Guest], tmp_path: Path) -> None:
    guest = next(guest for guest in guests if house.where(guest.owner) == [0])
    old, new = (front.data for front in house.fronts)
    report = move.out(old, guest.owner, tmp_path)
    move.take_in(report.folder, new)
    name = guest.cookie.partition(".")[0]
    house.moved.write_text(f'"~^{name}\\." avatar_front_2;\n')
    house.reload()
    move.erase(old, guest.owner)
    guest.met.clear()
    guest.visit(1)
    assert house.where(guest.owner) == [1] and house.turns(1)[guest.owner] == VISITS * TURNS + 1
    assert guest.met == {f"127.0.0.1:{house.fronts[1].port}"}


def test_a_front_that_is_down_is_nobody_elses_business(house: House, guests: list[Guest]) -> None:
    mine = next(guest for guest in guests if house.where(guest.owner) == [0])
    other = next(guest for guest in guests if house.where(guest.owner) == [1])
    down = house.fronts[0]
    assert down.stop(), "drained: nobody talks"
    try:
        assert mine.http.get("/config").status_code == 502, "not another front's page, which has nothing of theirs"
        other.visit(1)
    finally:
        house.fronts[0] = Running(down.data, {"AVATAR_OPEN": "1", "AVATAR_ALLOWED_HOSTS": NAME}).start(down.port)
        house.fronts[0].wait()
    before = house.turns(0)[mine.owner]
    mine.visit(1)
    assert house.turns(0)[mine.owner] == before + 1
