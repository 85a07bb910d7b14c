"""F5-TTS's solver against the library's own, on the CPU, with a tiny model of random weights.

f5-tts asks for its trainer, for torchaudio, which has no build for the CPU, and for 3 GB more. So it and what its model
needs are installed without their dependencies into a folder of the cache, 40 MB; without a network this is skipped.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_contract import CACHE, ROOT, pin

pytestmark = [pytest.mark.slow, pytest.mark.voice]  # torch
NEEDS = (
    pin("f5-tts"),
    "vocos==0.1.0",
    "x-transformers==2.12.2",
    "torch-einops-utils",
    "torchdiffeq==0.2.5",
    "einops",
    "einx",
    "frozendict",
    "loguru",
    "pypinyin",
    "rjieba",
)


@pytest.fixture(scope="module")
def site() -> Path:
    pytest.importorskip("torch", reason="make voice installs torch")
    folder = CACHE / f"f5-{sys.version_info.major}.{sys.version_info.minor}"
    if not (folder / "complete").is_file():
        command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
        command += ["--target", str(folder), "--upgrade", "--only-binary=:all:", *NEEDS]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if done.returncode:
            pytest.skip(f"f5-tts could not be fetched: {done.stderr[-300:]}")
        (folder / "complete").touch()
    return folder


def test_it_solves_as_the_library_does(site: Path, tmp_path: Path) -> None:
    path = os.pathsep.join([str(ROOT), str(site)])
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "f5_parity.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["spectrum"] < 1e-5 and found["sound"] < 1e-4 and found["filled"] < 1e-2, found
    assert 0.3 < found["said_s"] < 5 and found["interrupted"] < 1e-6
