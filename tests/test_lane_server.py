"""A replica's own door, from both of its sides: who gets in, what is answered, and how it closes."""

import resource
import socket
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import suppress

import pytest
from doors import echoing, until

from avatar.engines import lane_server
from avatar.engines.frames import Head, pack, unpack
from avatar.engines.lane import NONCE, Address, Lane
from avatar.engines.lane_server import LaneServer


@pytest.fixture
def door() -> Iterator[LaneServer]:
    server = echoing()
    yield server
    server.close()


class TestLane:
    def test_one_question_after_another(self, door: LaneServer) -> None:
        lane = Lane(door.address)
        for times in (2, 1):
            lane.send(pack({"times": times}, b"sound"))
            assert [unpack(lane.read) for _ in range(times)] == [
                ({"is": "echo", "number": n}, b"sound") for n in range(times)
            ]
        assert not lane.stale
        lane.close()

    def test_who_does_not_know_the_secret_is_not_answered(self, door: LaneServer) -> None:
        with socket.create_connection((door.address.host, door.address.port), 5) as stranger:
            stranger.sendall(b"\0" * (NONCE + 32) + pack({"times": 1}))
            said = b""
            with suppress(ConnectionError):  # hung up on before all of it was read
                while more := stranger.recv(100):
                    said += more
        assert said[NONCE:] == door.address.proof("replica", b"\0" * NONCE), "and not a frame"

    def test_nothing_is_told_to_somebody_else_on_its_port(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            address = Address("127.0.0.1", other.getsockname()[1], "secret")
            heard = []

            def listen() -> None:
                connection, _ = other.accept()
                with connection, connection.makefile("rb") as said:
                    said.read(NONCE)
                    connection.sendall(b"\0" * (NONCE + 32))
                    heard.append(said.read())

            thread = threading.Thread(target=listen)
            thread.start()
            with pytest.raises(ConnectionError):
                Lane(address)
            thread.join()
        assert heard == [b""]

    def test_what_a_replica_said_once_proves_nothing_on_its_port_later(self, door: LaneServer) -> None:
        def ask(first: bytes) -> bytes:
            with socket.create_connection((door.address.host, door.address.port), 5) as stranger:
                stranger.sendall(first)
                return stranger.recv(NONCE + 32, socket.MSG_WAITALL)

        proof = ask(b"\0" * NONCE)
        assert len(proof) == NONCE + 32
        door.close()
        with socket.create_server((door.address.host, door.address.port)) as taken_over:

            def replay() -> None:
                connection, _ = taken_over.accept()
                with connection:
                    connection.sendall(proof)
                    connection.recv(100)

            thread = threading.Thread(target=replay)
            thread.start()
            with pytest.raises(ConnectionError):
                Lane(door.address)
            thread.join()

    @pytest.mark.parametrize("question", [pack({}), pack({"times": "many"}), b"\xff" * 8, b"x" * 100])
    def test_what_is_no_question_ends_it(self, door: LaneServer, question: bytes) -> None:
        lane = Lane(door.address)
        lane.send(question)
        assert until(lambda: lane.stale) and lane.read(1) == b""
        lane.close()

    def test_it_goes_on_when_no_file_was_left_for_a_while(self, door: LaneServer) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        coming = socket.socket()
        resource.setrlimit(resource.RLIMIT_NOFILE, (coming.fileno() + 1, hard))
        try:
            coming.connect((door.address.host, door.address.port))
            time.sleep(0.05)  # it is taken in vain
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            coming.close()
        Lane(door.address).close()

    def test_who_does_not_read_an_answer_keeps_no_engine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        free = threading.Event()

        def much(head: Head, blob: bytes) -> Generator[bytes, None, None]:
            try:
                while True:
                    yield pack({"is": "audio"}, b"\0" * (1 << 20))
            finally:
                free.set()

        monkeypatch.setattr(lane_server, "READER_S", 0.1)
        server = LaneServer("127.0.0.1", much)
        lane = Lane(server.address)
        lane.send(pack({}))
        assert free.wait(5)
        lane.close()
        server.close()

    def test_so_many_and_no_more(self, door: LaneServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lane_server, "MOST", 1)
        first = Lane(door.address)
        with pytest.raises(OSError):
            Lane(door.address)
        first.close()


class TestDoor:
    def test_what_was_asked_is_answered_before_it_closes(self) -> None:
        go_on = threading.Event()

        def slowly(head: Head, blob: bytes) -> Generator[bytes, None, None]:
            yield pack({"is": "begun"})
            go_on.wait(5)
            yield pack({"is": "done"})

        server = LaneServer("127.0.0.1", slowly)
        busy, idle = Lane(server.address), Lane(server.address)
        busy.send(pack({}))
        assert unpack(busy.read)[0] == {"is": "begun"}
        closing = threading.Thread(target=server.close, args=(5.0,))
        closing.start()
        assert until(lambda: idle.stale), "nobody may ask any more"
        with pytest.raises(OSError):
            Lane(server.address)
        go_on.set()
        assert unpack(busy.read)[0] == {"is": "done"}
        closing.join()
        busy.close()
        idle.close()

    def test_it_does_not_wait_for_ever(self) -> None:
        forever = threading.Event()

        def never(head: Head, blob: bytes) -> Generator[bytes, None, None]:
            yield pack({"is": "begun"})
            forever.wait(5)

        server = LaneServer("127.0.0.1", never)
        lane = Lane(server.address)
        lane.send(pack({}))
        unpack(lane.read)
        server.close(0.01)
        assert lane.read(1) == b""
        forever.set()
        lane.close()
