import inspect

import pytest

from avatar.errors import AvatarError
from avatar.tunnel import open_tunnel


def test_without_a_network_one_sentence_says_so(monkeypatch):
    from gradio import networking

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(networking.httpx, "get", unreachable)
    with pytest.raises(AvatarError, match="page goes on at its local address"):
        open_tunnel(7860)


def test_gradio_still_has_the_tunnel_that_is_asked_for():
    from gradio import networking

    wanted = {"local_host", "local_port", "share_token", "share_server_address", "share_server_tls_certificate"}
    assert set(inspect.signature(networking.setup_tunnel).parameters) == wanted


def test_the_link_is_https(monkeypatch):
    from gradio import networking

    asked = {}
    monkeypatch.setattr(networking, "setup_tunnel", lambda **more: asked.update(more) or "http://a1b2.example")
    assert open_tunnel(7860) == "https://a1b2.example"
    assert asked["local_port"] == 7860 and len(asked["share_token"]) >= 32
