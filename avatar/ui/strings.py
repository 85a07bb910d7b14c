"""The sentences of the page, joined from `ui.words`: gr.I18n for native components, the same table as a prop for the
stage's script. Knows no component.
"""

from collections import ChainMap
from typing import TYPE_CHECKING, Final

import gradio as gr

from avatar.errors import AvatarError
from avatar.events import Notice
from avatar.ui.words import failures, history, login, quality, rating, settings, status, talk, voices, why

if TYPE_CHECKING:
    from avatar.engines.slots import RungStatus

Table = dict[str, str]

_PARTS: Final = (talk, quality, settings, why, history, voices, rating, status, login, failures)
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


def counted(key: str, language: str, n: int, **values: object) -> str:
    """The sentence `key` for `n` things; `key_1` for one."""
    return say(f"{key}_1" if n == 1 else key, language, n=n, **values)


def failure(what: AvatarError | Notice, language: str) -> str:
    """What to tell about a failure or a notice: the table's sentence for its code, else its own."""
    return STRINGS[language].get(f"err_{what.code}", what.sentence)


def licence(words: str, language: str) -> str:
    """A licence of the catalogue. English is its own language."""
    return words if language == "en" else status.LICENCES.get(words, words)


def hindrance(status: "RungStatus", language: str) -> str:
    """Why a rung cannot run; "" for one that can."""
    if (why := status.hindrance) is None:
        return ""
    words = say(f"lack_{why.code}", language, sentence=why.sentence, **why.values)
    if not why.code.startswith("FAILED"):
        return words
    minutes = round(status.again_s / 60)
    return words + (say("lack_again", language, min=minutes) if minutes > 1 else say("lack_again_soon", language))
