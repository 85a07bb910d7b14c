"""The sentences of the page, joined from `ui.words`: gr.I18n for native components, the same table as a prop for the
stage's script. Knows no component.
"""

from collections import ChainMap
from typing import Final

import gradio as gr

from avatar.errors import AvatarError
from avatar.events import Notice
from avatar.ui.words import failures, history, settings, status, talk, voices, why

Table = dict[str, str]

_PARTS: Final = (talk, settings, why, history, voices, status, failures)
ENGLISH: Final[Table] = dict(ChainMap(*(part.ENGLISH for part in _PARTS)))
CHINESE: Final[Table] = dict(ChainMap(*(part.CHINESE for part in _PARTS)))
STRINGS: Final[dict[str, Table]] = {"en": ENGLISH, "zh-TW": CHINESE}


def translations() -> gr.I18n:
    """The table for Gradio; every Chinese browser gets our one Chinese table, as live.js does."""
    return gr.I18n(en=ENGLISH, **dict.fromkeys(("zh-TW", "zh-HK", "zh-CN", "zh"), CHINESE))


T: Final = translations()


def language_of(accept_language: str | None) -> str:
    """The table for a browser: Chinese when its first language is any Chinese, else English."""
    return "zh-TW" if (accept_language or "").strip().lower().startswith("zh") else "en"


def say(key: str, language: str, **values: object) -> str:
    """The sentence `key`, filled in."""
    return STRINGS[language][key].format(**values)


def failure(what: AvatarError | Notice, language: str) -> str:
    """What to tell about a failure or a notice: the table's sentence for its code, else its own."""
    return STRINGS[language].get(f"err_{what.code}", what.sentence)


def hindrance(state: str, sentence: str, language: str) -> str:
    """Why a rung that is `absent` or `failed` cannot run, "" for any other. The ladder's own sentence is English."""
    if not sentence:
        return ""
    return failure(Notice("RUNG_ABSENT" if state == "absent" else "RUNG_FAILED", sentence), language)
