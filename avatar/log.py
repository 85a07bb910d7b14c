"""The log, on standard error: one JSON object a line, or short lines where a person reads along in a terminal. Knows no
event; what a line holds is chosen where it is written, and is never a user's words, names or sound.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

# Their information is ours, or is a URL that holds somebody's words.
QUIET = ("httpx", "httpcore", "httpx2", "httpcore2", "openai", "asyncio", "gguf")
_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """`log.info("turn", extra={"ms": 3})` becomes {"ts": ..., "level": "info", "logger": ..., "event": "turn",
    "ms": 3}."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= _extra(record)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class ShortLines(logging.Formatter):
    """The same record for a person: `14:03:07 turn, ms: 3`; its level where it is not information."""

    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        extra = "".join(f", {key}: {_short(value)}" for key, value in _extra(record).items())
        line = f"{datetime.fromtimestamp(record.created):%H:%M:%S} {level}{record.getMessage()}{extra}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def unquoted(error: BaseException) -> str:
    """What kind of error and where, without its message, which may hold a user's words."""
    return "".join([f"{type(error).__name__}\n", *traceback.format_tb(error.__traceback__)]).rstrip()


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in record.__dict__.items() if key not in _OWN}


def _short(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {_short(inner)}" for key, inner in value.items())
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def start(level: str) -> None:
    """Send what AVATAR and its libraries log to standard error, once."""
    handler = logging.StreamHandler()
    handler.setFormatter(ShortLines() if sys.stderr.isatty() else JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in QUIET:
        logging.getLogger(noisy).setLevel(logging.WARNING)
