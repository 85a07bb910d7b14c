"""How another device of the network reaches this page: its address as a QR code, on Status. Knows no server."""

import html

import gradio as gr

from avatar import lan
from avatar.settings import LOOPBACK, Settings
from avatar.ui.fragments import fragment
from avatar.ui.handlers import QUICK, language_for
from avatar.ui.strings import say


def phone_panel(settings: Settings, tab: gr.Tab) -> None:
    """Lays out nothing where only this machine can reach the page."""
    if settings.host in LOOPBACK:
        return

    def show(request: gr.Request) -> str:
        return panel(settings, language_for(request))

    tab.select(show, None, fragment(elem_id="phone"), **QUICK)


def panel(settings: Settings, language: str) -> str:
    """Addresses are read each time: a laptop changes its network."""
    urls = lan.reachable(settings.host, settings.port, settings.https)
    if not urls:
        return ""
    url = html.escape(urls[0])
    words = say("phone_https" if settings.https else "phone_http", language, url=f"<b>{url}</b>")
    code = say("phone_code", language, url=url)
    return (
        f'<section class="av-phone"><h3>{say("phone", language)}</h3><p class="av-note">{words}</p>'
        f'<div role="img" aria-label="{code}">{lan.qr_svg(urls[0])}</div></section>'
    )
