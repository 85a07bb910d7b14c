"""What our adapters use of the pinned packages of the card is there: read out of the wheels' sources, never imported.

vLLM and its kin cannot run without a card, so a name or keyword that a release dropped would first be missed by a user.
The wheels are fetched with pip once, 330 MB, into the cache folder; without a network this is skipped.
"""

import ast
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
ENGINES = ROOT / "avatar" / "engines"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "avatar" / "contract"
PINNED = ("requirements.txt", "requirements-voice.txt", "requirements-gpu.txt")
PACKAGES = {  # what is imported -> the distribution; one without a pin of ours is what vllm-omni and f5-tts ask for
    "vllm": "vllm",
    "vllm_omni": "vllm-omni",
    "f5_tts": "f5-tts",
    "faster_whisper": "faster-whisper",
    "s3tokenizer": "s3tokenizer==0.3.0",
    "vocos": "vocos",
}
ADAPTERS = ("vllm.py", "f5.py", "f5_solver.py", "whisper.py", "cosyvoice_omni.py", "cosyvoice_stage.py")
# Called on objects that the adapters hold, and with which keywords: file in the wheel, class -> method, keywords
METHODS: dict[tuple[str, str, str], dict[str, tuple[str, ...]]] = {
    ("vllm", "vllm/v1/engine/async_llm.py", "AsyncLLM"): {
        "generate": ("prompt", "sampling_params", "request_id"),
        "pause_generation": ("mode", "clear_cache"),
        "resume_generation": (),
        "shutdown": (),
    },
    ("vllm_omni", "vllm_omni/entrypoints/async_omni.py", "AsyncOmni"): {
        "generate": ("request_id", "sampling_params_list"),
    },
    ("vllm_omni", "vllm_omni/entrypoints/omni_base.py", "OmniBase"): {"shutdown": ()},
    ("vllm_omni", "vllm_omni/utils/speaker_cache.py", "SpeakerEmbeddingCache"): {"clear": ("speaker_name",)},
    ("vllm_omni", "vllm_omni/model_executor/models/cosyvoice3/tokenizer.py", "CosyVoice2Tokenizer"): {"encode": ()},
    ("f5_tts", "f5_tts/model/backbones/dit.py", "TextEmbedding"): {"forward": ("seq_len", "drop_text")},
    ("f5_tts", "f5_tts/model/backbones/dit.py", "InputEmbedding"): {"forward": ("audio_mask",)},
    ("f5_tts", "f5_tts/model/modules.py", "DiTBlock"): {"forward": ("mask", "rope")},
    ("vocos", "vocos/pretrained.py", "Vocos"): {"from_hparams": ("config_path",)},
    ("faster_whisper", "faster_whisper/transcribe.py", "WhisperModel"): {"encode": ("features",)},
}
# Attributes, fields and keys that stand in the source: file -> patterns
STANDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("vllm", "vllm/engine/arg_utils.py"): (r"worker_extension_cls\s*:",),
    ("vllm", "vllm/sampling_params.py"): (r"DELTA\s*=", r"min_tokens\s*:", r"max_tokens\s*:", r"output_kind\s*:"),
    ("vllm_omni", "vllm_omni/entrypoints/omni_base.py"): (r"self\.default_sampling_params_list\s*=",),
    ("vllm_omni", "vllm_omni/config/stage_config.py"): (
        r"gpu_memory_utilization\s*:",
        r"devices\s*:",
        r"max_num_seqs\s*:",
        r"max_model_len\s*:",
        r"max_num_batched_tokens\s*:",
    ),
    ("vllm_omni", "vllm_omni/model_executor/models/cosyvoice3/cosyvoice3.py"): (
        r"_s3_model = None",
        r"cls\._s3_model is not None",
        r"mm_kwargs\.get\(\"voice_name\"\)",
        r"prompt_text",
        r"llm\.pt",
    ),
    ("vllm_omni", "vllm_omni/model_executor/models/cosyvoice3/cosyvoice3_code2wav.py"): (r"flow\.pt", r"hift\.pt"),
    ("f5_tts", "f5_tts/model/backbones/dit.py"): (
        r"self\.time_embed\s*=",
        r"self\.text_embed\s*=",
        r"self\.input_embed\s*=",
        r"self\.rotary_embed\s*=",
        r"self\.transformer_blocks\s*=",
        r"self\.norm_out\s*=",
        r"self\.proj_out\s*=",
    ),
    ("vocos", "vocos/heads.py"): (r"self\.out\s*=", r"self\.istft\s*="),
    ("vocos", "vocos/spectral_ops.py"): (r"register_buffer\(\"window\"",),
    ("faster_whisper", "faster_whisper/transcribe.py"): (
        r"self\.model\s*=",
        r"self\.hf_tokenizer\s*=",
        r"self\.feature_extractor\s*=",
    ),
}


def pin(distribution: str) -> str:
    """As our requirements pin it, or as it is."""
    lines = "\n".join((ROOT / file).read_text() for file in PINNED)
    found = re.search(rf"^{re.escape(distribution)}==\S+", lines, re.M)
    return found.group() if found else distribution


@cache
def wheel(package: str) -> zipfile.ZipFile:
    requirement = pin(PACKAGES[package])
    folder = CACHE / requirement.replace("==", "-")
    if not (there := list(folder.glob("*.whl"))):
        command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--dest", str(folder), requirement]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if not (there := list(folder.glob("*.whl"))):
            pytest.skip(f"{requirement} could not be fetched, and is not in {CACHE}: {done.stderr[-300:]}")
    return zipfile.ZipFile(there[0])


@cache
def source(package: str, file: str) -> str:
    try:
        return wheel(package).read(file).decode()
    except KeyError:
        raise AssertionError(f"{pin(PACKAGES[package])} has no {file}") from None


def imported() -> Iterator[tuple[str, str, str]]:
    """Adapter, module and name of everything that the adapters import of these packages, wherever they do."""
    for adapter in ADAPTERS:
        for node in ast.walk(ast.parse((ENGINES / adapter).read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PACKAGES:
                for alias in node.names:
                    yield adapter, str(node.module), alias.name


def module_file(package: str, module: str) -> str:
    names = set(wheel(package).namelist())
    path = module.replace(".", "/")
    return next((file for file in (f"{path}.py", f"{path}/__init__.py") if file in names), f"{path}.py")


def defined(text: str) -> set[str]:
    """Names that a module defines or imports; strings too, for packages that import by a table of names."""
    found = set[str]()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                found.add(node.name)
            case ast.ImportFrom() | ast.Import():
                found |= {alias.asname or alias.name for alias in node.names}
            case ast.Assign():
                found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
            case ast.Constant(value=str(value)):
                found.add(value)
    return found


def classes(package: str, file: str) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in ast.walk(ast.parse(source(package, file))) if isinstance(node, ast.ClassDef)}


def keywords(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str] | None:
    """None: any."""
    if function.args.kwarg is not None:
        return None
    return {argument.arg for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)}


@pytest.mark.parametrize(("adapter", "module", "name"), sorted(set(imported())))
def test_what_an_adapter_imports_is_there(adapter: str, module: str, name: str) -> None:
    package = module.partition(".")[0]
    assert name in defined(source(package, module_file(package, module))), f"{adapter}: {module} has no {name}"


@pytest.mark.parametrize("place", METHODS, ids=lambda place: place[2])
def test_methods_take_the_keywords_that_are_given_them(place: tuple[str, str, str]) -> None:
    package, file, name = place
    assert name in (found := classes(package, file)), f"{file} has no class {name}"
    functions = {
        node.name: node for node in found[name].body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    for method, given in METHODS[place].items():
        assert method in functions, f"{name} has no {method}"
        takes = keywords(functions[method])
        assert takes is None or set(given) <= takes, f"{name}.{method} takes no {set(given) - takes}"


@pytest.mark.parametrize("place", STANDS, ids=lambda place: place[1])
def test_attributes_fields_and_keys_stand_in_the_source(place: tuple[str, str]) -> None:
    text = source(*place)
    assert [pattern for pattern in STANDS[place] if not re.search(pattern, text)] == []


def constructed() -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
    """Adapter, module, class and keywords of what the adapters construct of these packages."""
    for adapter in ADAPTERS:
        tree = ast.parse((ENGINES / adapter).read_text("utf-8"))
        modules = {name: module for of, module, name in imported() if of == adapter}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in modules:
                given = tuple(keyword.arg for keyword in node.keywords if keyword.arg)
                yield adapter, modules[node.func.id], node.func.id, given


def accepted(package: str, file: str, name: str) -> set[str] | None:
    """The keywords of a class, by its __init__ or the fields that it and its bases in the same file declare, or of a
    function; None: any, or declared elsewhere."""
    for node in ast.walk(ast.parse(source(package, file))):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return keywords(node)
    known = classes(package, file)
    if name not in known:
        return None
    for node in known[name].body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return keywords(node)
    fields = {
        node.target.id
        for node in known[name].body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    for base in known[name].bases:
        if isinstance(base, ast.Name) and base.id in known:
            fields |= accepted(package, file, base.id) or set()
    return fields


@pytest.mark.parametrize(("adapter", "module", "name", "given"), sorted(set(constructed())))
def test_what_an_adapter_constructs_takes_its_keywords(
    adapter: str, module: str, name: str, given: tuple[str, ...]
) -> None:
    package = module.partition(".")[0]
    takes = accepted(package, module_file(package, module), name)
    assert takes is None or set(given) <= takes, f"{adapter}: {name} takes no {set(given) - takes}"
