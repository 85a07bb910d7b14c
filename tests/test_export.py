import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from audio_files import read_tags
from starlette.applications import Starlette
from starlette.testclient import TestClient
from voice_profiles import kept

from avatar import voice_archive
from avatar.audio import read_opus, write_opus
from avatar.errors import NotFound
from avatar.export import Exports
from avatar.export_routes import export_routes
from avatar.provenance import is_marked, tags
from avatar.store import ConversationRow, Store, Turn, Wanted
from avatar.voices import Voices

AT = datetime(2026, 11, 25, tzinfo=UTC)


def sound(store: Store, seconds: float, marks: dict[str, str]) -> str:
    samples = (np.sin(np.arange(int(24_000 * seconds)) / 9) / 3).astype(np.float32)
    return store.save_audio(lambda path: write_opus(path, samples, 24_000, marks))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


@pytest.fixture
def ours(store: Store) -> str:
    conversation = store.create_conversation("ann", "Tea <b> [x](http://evil.test)")
    for n in range(2):
        said, reply = sound(store, 1, {}), sound(store, 2, tags("espeak", AT))
        turn = Turn(user_text=f"天氣 *{n}*", reply_text="Good.", state="done", user_audio=said, reply_audio=reply,
                    engines={"tts": "espeak"}, timings_ms={"llm": 58.4})  # fmt: skip
        store.add_turn("ann", conversation, turn)
    store.add_turn("ann", conversation, Turn(user_text="typed", reply_text="", state="failed"))
    return conversation


def test_an_exported_conversation_is_whole_and_its_sums_are_right(store: Store, ours: str, tmp_path: Path) -> None:
    path = Exports(tmp_path, store).conversation("ann", ours)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        sums = dict(reversed(line.split("  ")) for line in archive.read("SHA256SUMS").decode().splitlines())
        assert sums == {name: hashlib.sha256(archive.read(name)).hexdigest() for name in names - {"SHA256SUMS"}}
        transcript, page = json.loads(archive.read("transcript.json")), archive.read("transcript.md").decode()
        archive.extractall(tmp_path / "out")
    assert names == {f"audio/000{n}-{side}.opus" for n in (1, 2) for side in ("user", "reply")} | {
        "merged.opus", "transcript.json", "transcript.md", "SHA256SUMS"}  # fmt: skip
    assert [turn["user_text"] for turn in transcript["turns"]] == ["天氣 *0*", "天氣 *1*", "typed"]
    assert transcript["turns"][0]["timings_ms"] == {"llm": 58.4} and transcript["replies"] == "AI-generated"
    assert transcript["turns"][1]["reply_file"] == "audio/0002-reply.opus" and "opus" not in str(transcript["turns"][2])
    assert "llm 58 ms" in page and "\\*0\\*" in page and "AI-generated" in page and "[x](" not in page
    out = tmp_path / "out"
    assert is_marked(read_tags(out / "merged.opus")) and is_marked(read_tags(out / "audio/0001-reply.opus"))
    assert not is_marked(read_tags(out / "audio/0001-user.opus"))
    merged = read_opus(out / "merged.opus")
    assert len(merged.samples) / merged.sample_rate == pytest.approx(2 * (1 + 2) + 4 * 0.4, abs=0.2)


def test_everything_of_an_owner_and_of_nobody_else(store: Store, ours: str, tmp_path: Path) -> None:
    bobs = store.create_conversation("bob")
    store.add_turn("bob", bobs, Turn(user_text="secret", reply_text="", state="done"))
    store.sayings.put("ann", "SQL", "sequel")
    store.set_persona("ann", ours, "A pirate.")
    voices = Voices(tmp_path, store.profiles, [])
    hers, _ = kept(voices, "ann", name="Ann's own"), kept(voices, "bob", name="secret", reference_text="secret")
    voices.set_default("ann", hers.id)
    store.set_voice("ann", ours, f"profile:{hers.id}")
    exports = Exports(tmp_path, store, voices)
    with zipfile.ZipFile(exports.everything("ann")) as archive:
        names = archive.namelist()
        texts = b"".join(archive.read(name) for name in names if name.endswith((".json", ".md")))
        sums = dict(reversed(line.split("  ")) for line in archive.read("SHA256SUMS").decode().splitlines())
        assert sums == {n: hashlib.sha256(archive.read(n)).hexdigest() for n in names if n != "SHA256SUMS"}
        (transcript,) = (json.loads(archive.read(name)) for name in names if name.endswith("transcript.json"))
        (merged,) = (name for name in names if name.endswith("merged.opus"))
        archive.extract(merged, tmp_path / "out")
        (listed,) = json.loads(archive.read("voices/voices.json"))
        voice = voice_archive.unpack(io.BytesIO(archive.read(listed["file"])))
        with zipfile.ZipFile(io.BytesIO(archive.read(listed["file"]))) as packed:
            manifest = json.loads(packed.read("manifest.json"))
    assert sum(name.endswith(".opus") for name in names) == 5
    assert len(read_opus(tmp_path / "out" / merged).samples) > 7 * 48_000
    assert b"sequel" in texts and "天氣".encode() in texts and b"secret" not in texts
    assert (transcript["persona"], transcript["voice"], transcript["quality"]) == (
        "A pirate.", f"profile:{hers.id}", "fast")  # fmt: skip
    assert (listed["name"], listed["voice"], listed["default"]) == ("Ann's own", f"profile:{hers.id}", True)
    assert voice.recording == voices.clip("ann", hers.id) and voice.text == hers.reference_text
    assert manifest["consent"]["whose"] == "mine" and manifest["consent"]["sha256"] == hers.sha256
    for attempt in (lambda: exports.conversation("bob", ours), lambda: exports.everything("eve")):
        with pytest.raises(NotFound):
            attempt()


def test_what_is_deleted_while_everything_is_written_is_left_out_of_it(store: Store, ours: str, tmp_path: Path) -> None:
    listed, gone = store.conversations, store.create_conversation("ann", "Gone")
    store.add_turn("ann", gone, Turn(user_text="one", reply_text="two", state="done"))

    class Emptied(Store):
        """Another window deletes a conversation as soon as all are listed."""

        def conversations(self, owner: str, limit: int = 50, before: str | None = None) -> list[ConversationRow]:
            rows = listed(owner, limit, before)
            store.delete_conversation(owner, gone)
            return rows

    later = Emptied(tmp_path)
    with zipfile.ZipFile(Exports(tmp_path, later).everything("ann")) as archive:
        names = [name for name in archive.namelist() if name.endswith("transcript.json")]
    later.close()
    assert len(names) == 1 and ours in names[0]


def test_one_damaged_recording_hinders_no_archive(store: Store, ours: str, tmp_path: Path) -> None:
    first = store.turns("ann", ours)[0].id
    store.audio_path("ann", first, "user").write_bytes(b"OggS" * 9)
    store.audio_path("ann", first, "reply").write_bytes(b"")
    path = Exports(tmp_path, store).conversation("ann", ours)
    with zipfile.ZipFile(path) as archive:
        archive.extract("merged.opus", tmp_path)
    merged = read_opus(tmp_path / "merged.opus")
    assert len(merged.samples) / merged.sample_rate == pytest.approx(1 + 2 + 4 * 0.4, abs=0.2)


def test_voices_alone_are_something_to_take_away(store: Store, tmp_path: Path) -> None:
    kept(voices := Voices(tmp_path, store.profiles), "eve")
    with zipfile.ZipFile(Exports(tmp_path, store, voices).everything("eve")) as archive:
        assert sum(name.endswith(".avatarvoice") for name in archive.namelist()) == 1


def test_an_archive_is_sent_once_and_gone(store: Store, ours: str, tmp_path: Path) -> None:
    owner = ["ann"]
    client = TestClient(Starlette(routes=export_routes(Exports(tmp_path, store), lambda _: owner[0])))
    for path in (f"/avatar/export/{ours}", "/avatar/export/all"):
        answer = client.get(path)
        assert answer.status_code == 200 and zipfile.ZipFile(io.BytesIO(answer.content)).testzip() is None
        assert answer.headers["cache-control"] == "no-store" and not list((tmp_path / "exports").iterdir())
    owner[0] = "bob"
    assert client.get(f"/avatar/export/{ours}").status_code == client.get("/avatar/export/all").status_code == 404
    assert client.get("/avatar/export/..%2Favatar.db").status_code == 404


def test_what_was_never_fetched_is_swept(store: Store, ours: str, tmp_path: Path) -> None:
    exports = Exports(tmp_path, store)
    left = exports.conversation("ann", ours)
    exports.sweep()
    assert left.exists()
    os.utime(left, (0, 0))
    exports.sweep()
    assert not left.exists()


def test_erasing_leaves_nothing_of_one_owner_and_all_of_another(store: Store, ours: str, tmp_path: Path) -> None:
    bobs = store.create_conversation("bob")
    store.add_turn("bob", bobs, Turn(user_text="天氣", reply_text="", state="done", user_audio=sound(store, 1, {})))
    store.sayings.put("ann", "SQL", "sequel")
    store.create_conversation("ann")  # begun, without a turn
    store.erase("ann")
    assert store.conversations("ann") == [] and store.sayings.of("ann") == {}
    assert (
        store.search.find("ann", Wanted(words="天氣")) == []
        and len(store.search.find("bob", Wanted(words="天氣"))) == 1
    )
    assert len(list((tmp_path / "audio").glob("*/*"))) == 1
    assert not any(b"sequel" in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


def test_what_would_go_by_age_and_size_spares_what_is_open(tmp_path: Path) -> None:
    now = [1e9]
    store = Store(tmp_path, clock=lambda: now[0])
    ids = []
    for _ in range(4):
        ids.append(store.create_conversation("ann"))
        audio = store.save_audio(lambda path: path.write_bytes(bytes(1000)))
        store.add_turn("ann", ids[-1], Turn(user_text="x", reply_text="", state="done", user_audio=audio))
        now[0] += 86_400
    fork = store.fork("ann", store.turns("ann", ids[0])[0].id)  # shares a recording: it counts once, for the newest
    sizes = {one.id: one.size for one in store.keeping.all("ann")}
    assert sizes == {ids[0]: 0, ids[1]: 1000, ids[2]: 1000, ids[3]: 1000, fork: 1000}

    def going(days: float, size: float, *in_use: str, owner: str = "ann") -> list[str]:
        return [one.id for one in store.keeping.plan(owner, days, size, now[0], in_use)]

    assert going(0, 0) == [] and going(0, 1e9) == [] and going(2.5, 0) == ids[:2]
    assert going(0, 2500) == ids[:3] and going(0, 2500, ids[1]) == [ids[0], *ids[2:]]
    assert going(2.5, 0, *ids) == [] and going(1, 1, owner="bob") == []
    assert store.delete_conversations("bob", ids) == 0 and store.delete_conversations("ann", ids[:2]) == 2
    assert store.audio_path("ann", store.turns("ann", fork)[0].id, "user").stat().st_size == 1000
    store.close()
