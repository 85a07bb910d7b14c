"""The page: header, sidebar, and the tabs Talk, History and Status. Knows no server and no engine."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from avatar.owners import OwnerOf
from avatar.ui.fragments import ASSETS, fragment, head, header
from avatar.ui.history import history_tab
from avatar.ui.own_voice import own_voice_panel
from avatar.ui.persona import persona_panel
from avatar.ui.phone import phone_panel
from avatar.ui.rating import connect_ratings
from avatar.ui.sayings import sayings_panel
from avatar.ui.sidebar import settings_sidebar
from avatar.ui.status import Memory, status_tab
from avatar.ui.strings import T
from avatar.ui.talk import talk_tab
from avatar.ui.theme import STYLES, theme
from avatar.ui.voice import voice_row
from avatar.ui.voices import voices_tab
from avatar.ui.why import why_panel

if TYPE_CHECKING:
    from avatar.assistant import Assistant

CACHE_S = (600, 3600)  # Gradio's copies of recordings and replies: looked at every 10 min, deleted after an hour


def build(assistant: "Assistant", owner_of: OwnerOf, gpu_memory: Callable[[], Memory | None]) -> gr.Blocks:
    """The Blocks, not launched. `owner_of` takes a gr.Request or a Starlette request; `gpu_memory` gives GiB used and
    total, or None without a GPU. Tabs, not routes: a page load would drop the microphone and the socket."""
    with gr.Blocks(title="AVATAR", analytics_enabled=False, delete_cache=CACHE_S) as blocks:
        fragment(header())
        sayings = partial(sayings_panel, assistant, owner_of)
        settings = settings_sidebar(blocks, assistant.settings.patience_ms, sayings)
        with gr.Tabs() as tabs:
            with gr.Tab(T("tab_talk"), id="talk") as first:
                talk = talk_tab(assistant, owner_of, settings, partial(voice_row, assistant, owner_of))
                persona_panel(assistant, owner_of, talk.stage)
                if assistant.studio is not None:
                    own_voice_panel(assistant, assistant.studio, owner_of, talk)
                    first.select(**talk.voices)  # made, deleted or set as the default in the other tab
                why_panel(assistant, owner_of, talk.stage)
            others = [first]
            if assistant.studio is not None and assistant.previews is not None:
                with gr.Tab(T("tab_voices"), id="voices") as voices:
                    voices_tab(assistant.studio, assistant.previews, owner_of, voices)
                others.append(voices)
            with gr.Tab(T("tab_history"), id="history") as second:
                connect_ratings(assistant, owner_of, talk, history_tab(assistant, owner_of, second, tabs, talk))
            with gr.Tab(T("tab_status"), id="status") as third:
                status_tab(assistant, owner_of, third, [*others, second], gpu_memory)
                phone_panel(assistant.settings, third)
    page: gr.Blocks = blocks
    return page


def launch_options() -> dict[str, Any]:
    """What belongs to the page among the arguments of `Blocks.launch`."""
    return {
        "theme": theme(),
        "css_paths": [ASSETS / name for name in STYLES],
        "head": head(),
        "i18n": T,
        "favicon_path": ASSETS / "favicon.svg",
        "footer_links": [],  # Gradio's own settings speak to who builds the page; its theme is a choice of ours
        "run_history": False,  # it would keep inputs and outputs in the browser
        "ssr_mode": False,
        "_frontend": False,  # means: do not look at the page at the start, and end if that takes 3 s on a busy machine
        "pwa": False,
        "show_error": False,
        "enable_monitoring": False,
    }
