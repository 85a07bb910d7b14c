"""The share link: Gradio's tunnel to this server, opened beside the page so that a missing network delays nothing.

Blocks: run it in a thread. Gradio downloads its tunnel program at the first use. Not tried by us: no such server can be
reached from our machines.
"""

import secrets
from urllib.parse import urlsplit

from avatar.errors import AvatarError

UNREACHABLE = (
    "The share link could not be made: Gradio's tunnel program or server cannot be reached. Check the network and "
    "start again; the page goes on at its local address."
)


def open_tunnel(port: int) -> str:
    """The https address under which others reach this machine's `port`, until this process ends. Raises AvatarError."""
    from gradio import networking

    try:
        url = networking.setup_tunnel(
            local_host="127.0.0.1",
            local_port=port,
            share_token=secrets.token_urlsafe(32),
            share_server_address=None,
            share_server_tls_certificate=None,
        )
    except Exception as exc:  # noqa: BLE001 - foreign code over a foreign network: each failure means no link
        raise AvatarError(UNREACHABLE) from exc
    return urlsplit(url)._replace(scheme="https").geturl()  # it says http, and answers that with a redirect
