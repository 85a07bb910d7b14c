import json
import logging
import re
import sys

from avatar import log


def written(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_is_one_json_object(capsys, restored_logging):
    log.start("info")
    logging.getLogger("avatar.turns").info("turn", extra={"state": "done", "ms": {"eot": 12.5}})
    logging.getLogger("avatar.turns").debug("not shown")
    (line,) = written(capsys)
    assert line.pop("ts").endswith("+00:00")
    assert line == {"level": "info", "logger": "avatar.turns", "event": "turn", "state": "done", "ms": {"eot": 12.5}}


def test_a_traceback_stays_on_its_line(capsys, restored_logging):
    log.start("info")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("x").exception("a\nbug %s", "here")
    (line,) = written(capsys)
    assert line["event"] == "a\nbug here" and "ValueError: two\nlines" in line["traceback"]


def test_a_bug_is_logged_without_its_message() -> None:
    """A traceback's last line may hold what somebody said."""
    said = "the secret words"
    try:
        raise ValueError(f"no number in: {said}")
    except ValueError as error:
        told = log.unquoted(error)
    assert told.startswith("ValueError") and "test_log.py" in told and "secret" not in told


def test_what_is_no_json_is_written_as_text(capsys, restored_logging):
    log.start("info")
    logging.getLogger("x").info("odd", extra={"path": ValueError("v"), "words": "天氣"})
    assert written(capsys)[0]["path"] == "v"


def test_clients_of_other_servers_are_quiet(capsys, restored_logging):
    log.start("info")
    for name in log.QUIET:
        logging.getLogger(name).info("GET https://somewhere.example/?q=words")
    assert written(capsys) == []


def test_in_a_terminal_a_person_reads_along(capsys, restored_logging, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    log.start("info")
    logging.getLogger("avatar.turns").info("turn", extra={"state": "done", "ms": {"eot": 12.5, "llm": 131.6}})
    try:
        raise ValueError("v")
    except ValueError:
        logging.getLogger("x").exception("a bug")
    turn, bug, *traceback = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d turn, state: done, ms: eot 12 llm 132", turn)
    assert re.fullmatch(r"\d\d:\d\d:\d\d error: a bug", bug) and traceback[-1] == "ValueError: v"
