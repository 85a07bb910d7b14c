"""The log: one JSON object a line, on standard error. Knows no event; what a line holds is chosen where it is written,
and is never a user's words, names or sound.
"""

import json
import logging
from datetime import UTC, datetime

# Their information is ours, or is a URL that holds somebody's words.
QUIET = ("httpx", "httpcore", "httpx2", "httpcore2", "openai", "asyncio")
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
        line |= {key: value for key, value in record.__dict__.items() if key not in _OWN}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def start(level: str) -> None:
    """Send what AVATAR and its libraries log to standard error, once."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in QUIET:
        logging.getLogger(noisy).setLevel(logging.WARNING)
