"""A start that cannot be: one sentence, before anything is fetched or loaded."""

import os
import socket
import subprocess
import sys

import pytest
from running import ROOT

import app as application

WRONG = [
    (["--share"], {}, "set AVATAR_AUTH=user:secret"),
    (["--host", "0.0.0.0"], {}, "set AVATAR_AUTH=user:secret"),
    (["--port", "many"], {}, "--port=many is not a whole number"),
    ([], {"AVATAR_PROT": "1"}, "AVATAR_PROT is not a setting. Did you mean AVATAR_PORT?"),
    ([], {"AVATAR_GGUF": "/no/such.gguf"}, "is not a file"),
    ([], {"AVATAR_STT": "whispr"}, "Choose one of: auto, "),
    ([], {"AVATAR_DATA": "/proc/nowhere"}, "AVATAR_DATA=/proc/nowhere cannot be written"),
]


@pytest.mark.parametrize(("options", "env", "words"), WRONG)
def test_a_wrong_setting_stops_the_start_before_anything_is_fetched(options, env, words, tmp_path, monkeypatch, capsys):
    for name in [name for name in os.environ if name.startswith("AVATAR_")]:
        monkeypatch.delenv(name)
    with socket.create_server(("127.0.0.1", 0)) as free:  # someone may use AVATAR on this machine meanwhile
        port = str(free.getsockname()[1])
    ours = {"AVATAR_DATA": str(tmp_path / "data"), "AVATAR_WEIGHTS": str(tmp_path), "AVATAR_PORT": port}
    for name, value in (ours | env).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(application.log, "start", lambda level: None)  # the tests' own logging stays
    assert application.main(options) == 1
    said = capsys.readouterr()
    assert said.err.startswith("AVATAR cannot start: ") and words in said.err and said.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_taken_port_is_one_sentence(tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AVATAR_")}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command, env = [sys.executable, "app.py", "--port", str(port)], kept | {"AVATAR_DATA": str(tmp_path / "data")}
        ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=180)
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr.startswith(f"AVATAR cannot start: port {port} is taken by python")
    assert f"--port {port + 1}" in ended.stderr and "Traceback" not in ended.stderr
