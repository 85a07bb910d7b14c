"""The levels of docs/design.md: a file imports only from lower levels."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent / "avatar"
LEVELS = [
    {"errors", "events", "durable"},
    {"refused", "snapshot"},
    {
        "settings",
        "scaling",
        "aio",
        "text",
        "audio",
        "audio_worker",
        "database",
        "pitch",
        "gpu",
        "metrics",
        "provenance",
        "pulse",
        "wire",
        "outbox",
    }
    | {"text.*", "weights", "weights.*", "checkpoint", "mel", "onnx_graph", "onnx_session", "readaloud", "wording"}
    | {"finding", "loudness"}
    | {"headers", "lan", "log", "looks", "throttle", "tunnel"},
    {"flac", "saying", "saying.*", "planner", "profiles"},
    {
        "engines.base",
        "engines.catalog",
        "guard",
        "pressure",
        "guests",
        "sessions",
        "speaker",
        "store",
        "store.*",
        "turntaking",
        "turntaking.*",
    },
    {"voiced", "consent", "listener", "owners", "preflight", "verify"},
    {"apart", "engines.pool", "clip", "engines.*", "chat", "playback", "backup", "voice_archive"},
    {"turn"},
    {"drafts", "starters", "own_voice", "pipeline", "recorder", "relief", "preparing", "opened", "asked"},
    {"heard", "readahead", "single", "takes", "understanding", "voices", "replica"},
    {"hearing", "cluster"},
    {"reply", "studio", "voice_choice", "export"},
    {"answering", "preview"},
    {"conversation"},
    {"wishes", "attendant", "move"},
    {"assistant", "door", "voice_routes", "export_routes"},
    {"ui.*"},
    {"health", "server"},
    {"bench.*"},
]


def level(module: str) -> int:
    for rank, names in enumerate(LEVELS):
        if module in names:
            return rank
    package = module.partition(".")[0]
    return next(rank for rank, names in enumerate(LEVELS) if f"{package}.*" in names)


def test_imports_point_down() -> None:
    seen = 0
    for path in ROOT.rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if path.name in ("__init__.py", "__main__.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("avatar."):
                named = node.module.removeprefix("avatar.")
                package = module.rpartition(".")[0]
                modules = [f"{named}.{name.name}" for name in node.names]
                inside = [name for name in modules if (ROOT / f"{name.replace('.', '/')}.py").exists()]
                for target in inside or [named]:
                    same_package = package and f"{target}.".startswith(f"{package}.")
                    assert level(target) < level(module) or same_package, f"{module} imports {target}"
                    seen += 1
    assert seen


def test_all_sql_is_in_the_store() -> None:
    """What knows tables. database.py and snapshot.py know the file; backup.py copies it."""
    speaks_sql = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM)\b|execute_sql|(?<!report)\.table\(")
    found = {
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        if speaks_sql.search(path.read_text()) and path.parent.name != "store"
    }
    assert found == {"database.py"}
