"""The pins: exact, explained, and able to live in one environment with the GPU engines."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMES = tuple(f"requirements{name}.txt" for name in ("", "-voice", "-gpu", "-dev", "-cluster", "-peer"))


def pins(name: str) -> list[str]:
    """The lines that name a package."""
    lines = (ROOT / name).read_text().splitlines()
    return [line for line in lines if line.strip() and not line.startswith(("#", "-r "))]


@pytest.mark.parametrize("name", NAMES)
def test_every_pin_is_exact_and_says_why(name):
    assert pins(name)
    for line in pins(name):
        assert re.fullmatch(r"[a-z0-9-]+(\[[a-z]+\])?==[0-9][0-9.]*\s+# \S.*", line), line


@pytest.mark.slow
@pytest.mark.long
def test_the_pins_resolve_with_the_gpu_engines():
    """Asks the package index for metadata only."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    assert uv, "uv is in requirements-dev.txt"
    # 2_36 is Debian 12; at 2_28 uv refuses the Moonshine wheel
    platform = ["--python-version", "3.12", "--python-platform", "x86_64-manylinux_2_36"]
    ours = str(ROOT / "requirements-gpu.txt")  # which includes requirements-voice.txt, and that requirements.txt
    command = [uv, "pip", "compile", *platform, "--quiet", "--no-header", ours]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode and "error sending request" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr[-3000:]
    resolved = set(re.findall(r"^([a-z0-9-]+==\S+)", done.stdout, re.MULTILINE))
    assert {line.split()[0] for name in NAMES[:3] for line in pins(name)} <= resolved
    assert {"vllm==0.30.0", "vllm-omni==0.30.0", "f5-tts==1.1.22"} <= resolved  # the issue's
