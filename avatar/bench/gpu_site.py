"""Pack what the bench needs for a machine with a card that reaches no registry, as parts of 50 MiB.

    python -m avatar.bench.gpu_site FOLDER

Made for an image that has Python 3.12, torch 2.11 with CUDA 13 and transformers 5 (2026-11-26). Wheels are fetched
with pip and unpacked into one folder, without what a Hopper card does not use: FlashAttention 4, qutlass, languages,
pictures. vllm and vllm-omni 0.30 ask for torch 2.13 and run with 2.11; what they need beside it is in the versions
that 0.26 wanted. There: cat the parts, `tar xJ` into a folder, PYTHONPATH to it, VLLM_USE_FLASHINFER_SAMPLER=0 and
HF_HUB_OFFLINE=1, and links libcublas.so.12 and libcublasLt.so.12 to CUDA 13's on LD_LIBRARY_PATH.
"""

import re
import subprocess
import sys
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PLATFORMS = ("2_35", "2_34", "2_31", "2_28", "2_27", "2_26", "2_24", "2_17")
WHEELS = Path(__file__).with_suffix(".txt").read_text().split()
SOURCES = ("encodec==0.1.1",)  # there is no wheel of it
LEFT_OUT = re.compile(
    r"_vllm_fa4|vllm_flash_attn/cute|_qutlass_C|/tests/|/benchmarks/|pycountry/locales|gradio/media_assets|"
    r"moonshine_voice/assets/(?!tiny-en)|moonshine_voice\.libs|libmoonshine|vllm/vllm-rs|\.a$|ffmpeg-core|tekken_"
)
PART_BYTES = 50 << 20


def main(folder: Path) -> int:
    wheels, site = folder / "wheels", folder / "site"
    site.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(6) as threads:
        codes = list(threads.map(lambda name: fetch(name, wheels), WHEELS))
    missing = [name for name, code in zip(WHEELS, codes, strict=True) if code]
    missing += [name for name in SOURCES if fetch(name, wheels, source=True)]
    for wheel in sorted(wheels.glob("*.whl")):
        unpack(wheel, site)
    for archive in sorted(wheels.glob("*.tar.gz")):
        unpack_source(archive, site)
    (site / "wandb").mkdir(exist_ok=True)
    (site / "wandb" / "__init__.py").touch()  # f5-tts's trainer imports it, and nothing calls it
    packed = folder / "site.tar.xz"
    subprocess.run(["tar", "--use-compress-program=xz -T0 -3", "-cf", str(packed), "-C", str(site), "."], check=True)
    with packed.open("rb") as whole:
        for number in range(-(-packed.stat().st_size // PART_BYTES)):
            (folder / f"part.{number:02}").write_bytes(whole.read(PART_BYTES))
    print(f"{packed.stat().st_size >> 20} MiB in {folder}; not found: {', '.join(missing) or 'none'}")
    return int(bool(missing))


def fetch(name: str, wheels: Path, source: bool = False) -> int:
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(wheels), name]
    if source:
        command += ["--no-binary=:all:", "--no-build-isolation"]
    else:
        command += ["--only-binary=:all:", "--python-version", "3.12", "--implementation", "cp"]
        for platform in (*(f"manylinux_{glibc}" for glibc in PLATFORMS), "manylinux2014", "manylinux1"):
            command += ["--platform", f"{platform}_x86_64"]
    return subprocess.run(command, capture_output=True).returncode


def unpack(wheel: Path, site: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        for member in packed.infolist():
            name = re.sub(r"^[^/]+\.data/(purelib|platlib)/", "", member.filename)
            if member.is_dir() or LEFT_OUT.search(name) or re.match(r"[^/]+\.data/", name):
                continue
            place = site / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(packed.read(member))


def unpack_source(archive: Path, site: Path) -> None:
    """Its packages: folders with an __init__.py, at the top or in src."""
    with tarfile.open(archive) as packed:
        for member in packed.getmembers():
            _, _, name = member.name.partition("/")
            name = name.removeprefix("src/")
            if member.isfile() and name.endswith(".py") and "/" in name and not name.startswith(("tests/", "docs/")):
                place = site / name
                place.parent.mkdir(parents=True, exist_ok=True)
                stream = packed.extractfile(member)
                assert stream is not None
                place.write_bytes(stream.read())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
