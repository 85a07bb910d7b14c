"""What the documents name is there: files, tests, and settings."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

from avatar.settings import Settings

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ELSEWHERE = {"docs/benchmarks.md": {"research/gpu.md"}}  # beside the repository, and said to be


def files() -> set[str]:
    """Of the repository, by every end of their path: avatar/ui/talk.py, ui/talk.py, talk.py."""
    found = set()
    for folder in ("avatar", "tests", "docs", "assets", "profiles"):
        for path in (ROOT / folder).rglob("*.*"):
            parts = path.relative_to(ROOT).parts
            found |= {"/".join(parts[i:]) for i in range(len(parts))}
    return found | {path.name for path in ROOT.iterdir()}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/.-]+\.(?:py|js|css|md|txt|json))(?:::\w+)?`", text))
    links = {link for link in re.findall(r"\]\(([^)#:]+)\)", text) if not (document.parent / link).exists()}
    missing = named - files() - ELSEWHERE.get(str(document.relative_to(ROOT)), set())
    assert not missing and not links


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_tests_that_are_named_exist(document: Path) -> None:
    """`test_file.py::test_name`, and after it `::test_other` of the same file."""
    here, missing = "", set()
    for file, name in re.findall(r"`(test_\w+\.py)?(?:::(\w+))?`", document.read_text(encoding="utf-8")):
        here = file or here
        if name and name not in functions(here):
            missing.add(f"{here}::{name}")
    assert not missing


def test_every_module_has_its_place_in_the_map() -> None:
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]+ \| (`.+`) \|$", design, re.M)
    placed = re.findall(r"`([\w/]+)`", "".join(rows))
    inside = [path for path in (ROOT / "avatar").iterdir() if not path.name.startswith("_")]
    there = [f"{path.name}/" if path.is_dir() else path.stem for path in inside]
    assert sorted(placed) == sorted(there)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_settings_that_are_named_exist(document: Path) -> None:
    known = {f"AVATAR_{field.name.upper()}" for field in fields(Settings)}
    assert set(re.findall(r"AVATAR_[A-Z0-9_]*[A-Z0-9]", document.read_text(encoding="utf-8"))) <= known


def functions(file: str) -> set[str]:
    paths = [*(ROOT / "tests").rglob(file)]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in paths]
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, kinds)}
