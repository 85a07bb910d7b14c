"""One tap from 1 to 10 below a reply, in Talk and in History, and the means on Status.

The links are made by `fragments`; live.js hands a tap on as the stage's event `rate` with {turn, rating}.
"""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from avatar.errors import AvatarError
from avatar.owners import OwnerOf
from avatar.profiles import PROFILE
from avatar.ui.fragments import messages
from avatar.ui.handlers import QUICK, language_for, session_of, warn
from avatar.ui.strings import say
from avatar.ui.talk import TalkTab

if TYPE_CHECKING:
    from avatar.assistant import Assistant
    from avatar.store import Score


def score_list(scores: Sequence["Score"], language: str) -> str:
    """The means of each engine and voice; no mean stands without its n."""
    rows = []
    for score in scores:
        voice = say("score_own", language) if score.voice == "default" else score.voice
        if voice.startswith(PROFILE):
            voice = say("score_profile", language)
        who = say("score", language, engine=score.engine or "–", voice=voice)
        mean = say("score_n", language, mean=f"{score.mean:.1f}", n=score.n)
        rows.append(f"<li><b>{html.escape(who)}</b><span>{html.escape(mean)}</span></li>")
    none = f'<p class="av-note">{html.escape(say("scores_none", language))}</p>'
    body = f"<ul>{''.join(rows)}</ul>" if rows else none
    title = html.escape(say("scores", language))
    return f'<section class="av-card av-scores"><h3 class="av-h">{title}</h3>{body}</section>'


class RatingEvents:
    def __init__(self, assistant: "Assistant", owner_of: OwnerOf) -> None:
        self.assistant, self.owner_of = assistant, owner_of

    async def rated(self, stage: object, event: gr.EventData, request: gr.Request) -> Any:
        """-> chat, if it shows that reply. Turn and rating come from a page: the store checks both."""
        owner, wanted = self.owner_of(request), event._data if isinstance(event._data, dict) else {}
        try:
            rated = await self.assistant.rate(owner, str(wanted.get("turn"))[:64], wanted.get("rating"))
            if rated != session_of(stage)[0]:
                return gr.skip()
            return messages(await self.assistant.current(owner, rated), language_for(request), again=True)
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip()


def connect_ratings(assistant: "Assistant", owner_of: OwnerOf, talk: TalkTab, opening: dict[str, Any]) -> None:
    """`opening` is the event that shows again what History has open."""
    on = RatingEvents(assistant, owner_of)
    talk.stage.rate(on.rated, talk.stage, talk.chat, **QUICK).then(**opening)
