"""The whole against those who mean it harm: app.py as a process, real engines."""

import json
import random
import re
import shutil
import tempfile
from pathlib import Path

import pytest
from running import NOWHERE, ROOT, SPEECH, Running

pytestmark = pytest.mark.slow


def hostile() -> dict[str, bytes]:
    noise = random.Random(7).randbytes(50_000)
    voice = (SPEECH / "lk_weather.wav").read_bytes()
    return {
        "empty.wav": b"",
        "noise.mp3": noise,
        "page.wav": b"<html><script>fetch('http://evil.example')</script></html>",
        "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "list.m3u8": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "concat.wav": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "cut.wav": voice[:60],
        "lie.wav": voice[:4] + b"\xff" * 4 + voice[8:40] + b"\xff\xff\xff\x7f" + noise[:100],
    }


@pytest.mark.parametrize("name", sorted(hostile()))
def test_hostile_uploads_are_refused_in_words(app, name):
    value = app.upload(name, hostile()[name])
    done = app.event("recorded", [value, NOWHERE, f"hostile-{name}", "auto", 100])
    assert done.took_s < 10 and len(done.toasts) == 1 and done.toasts[0].endswith(".")
    assert not re.search(r"Error|Traceback|/tmp", done.toasts[0])


@pytest.mark.parametrize(
    "name", ["../../x.wav", "a\x00b.wav", "x" * 300 + ".wav", "\u202egpj.wav", "'; DROP TABLE turns.wav"]
)
def test_hostile_names_stay_where_they_belong(app, name):
    before = sorted(path.name for path in app.data.rglob("*.opus"))
    value = app.upload(name, (SPEECH / "lk_weather.wav").read_bytes())
    assert ".." not in value["path"]
    assert app.event("recorded", [value, NOWHERE, f"name-{len(name)}", "auto", 100]).outputs[2]
    new = {path.name for path in app.data.rglob("*.opus")} - set(before)
    assert len(new) == 2 and all(re.fullmatch(r"[0-9a-f]{32}\.opus", name) for name in new)


def test_files_of_other_programs_are_not_served(app, tmp_path):
    shared = Path(tempfile.gettempdir()) / "gradio" / tmp_path.name  # where every Gradio program puts its uploads
    shared.mkdir(parents=True)
    (shared / "theirs.wav").write_bytes(b"theirs")
    try:
        assert app.http.get(f"/gradio_api/file={shared / 'theirs.wav'}").status_code in (403, 404)
    finally:
        shutil.rmtree(shared)


def test_what_is_too_large_or_not_uploaded_is_refused(app):
    assert app.http.post("/gradio_api/upload", files={"files": ("a.wav", b"x" * (27 << 20))}).status_code == 413
    join = "/gradio_api/queue/join"
    assert app.http.post(join, content=b"[" * (2 << 20)).status_code == 413
    assert app.http.post(join, content=b"[" * 100_000, headers={"Content-Type": "application/json"}).status_code in (
        400,
        422,
    )
    for path in ("/etc/passwd", str(app.data / "avatar.db"), str(ROOT / "app.py")):
        forged = {"path": path, "meta": {"_type": "gradio.FileData"}}
        with pytest.raises(AssertionError, match="process_completed"):
            app.event("recorded", [forged, NOWHERE, "forged", "auto", 100])
        for spelling in ("file=", "file/"):
            assert app.http.get(f"/gradio_api/{spelling}{path}").status_code in (403, 404)
    assert app.http.get("/gradio_api/file=http://127.0.0.1:1/x").status_code == 403
    assert app.http.get("/monitoring/summary").status_code in (403, 404)
    foreign = {"Origin": "http://evil.example"}
    assert app.http.post(join, json={}, headers=foreign).status_code == 403
    assert app.http.get("/", headers={"Host": "evil.example"}).status_code == 403
    assert app.http.get("/").status_code == 200  # it is still there


def test_with_a_password_nothing_answers_before_the_login(tmp_path):
    running = Running(tmp_path / "data", {"AVATAR_AUTH": "ann:secret words"}, options=("--host", "0.0.0.0")).start()
    try:
        running.until("press Start")
        assert running.http.get("/config").status_code == 401
        assert "av-login" in running.http.get("/").text  # the login is ours to look at
        wrong = running.http.post("/login", data={"username": "ann", "password": "guess"})
        assert wrong.status_code == 400
        assert running.http.post("/login", data={"username": "ann", "password": "secret words"}).status_code == 200
        running.wait()
        done = running.event("typed", ["Hello", NOWHERE, "t1", "auto", 100])
        turn = re.search(r"#play-([0-9a-f]{32})-reply", json.dumps(done.outputs[2]))[1]
        assert running.http.get(f"/avatar/audio/{turn}/reply").status_code == 200
        assert running.http.get("/metrics").status_code == 200
        running.http.cookies.clear()
        assert running.http.get(f"/avatar/audio/{turn}/reply").status_code == 404
        assert running.http.get("/metrics").status_code == 401
        wrong = {"username": "ann", "password": "guess"}
        tried = [running.http.post("/login", data=wrong).status_code for _ in range(10)]
        assert tried[-1] == 429 and 4 <= tried.count(400) <= 5  # one was tried above
        lines = [json.loads(line) for line in running.said().splitlines() if line.startswith("{")]
        assert {"TOO_MANY_LOGINS"} == {line["code"] for line in lines if line["event"] == "refusal"}
        assert [line["state"] for line in lines if line["event"] == "turn"] == ["done"]
        assert "secret words" not in running.said() and "guess" not in running.said()
    finally:
        running.stop()
