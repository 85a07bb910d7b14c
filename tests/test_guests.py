from types import SimpleNamespace

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from avatar.errors import NotFound
from avatar.guests import COOKIE, KEY_FILE, Doorman, Guests


@pytest.fixture
def guests(tmp_path):
    return Guests.open(tmp_path)


def app(guests: Guests) -> Starlette:
    async def who(request: Request) -> PlainTextResponse:
        return PlainTextResponse(guests.of(request))

    async def page(_: Request) -> PlainTextResponse:
        return PlainTextResponse("page")

    return Starlette(routes=[Route("/", page), Route("/who", who)], middleware=[Middleware(Doorman, guests=guests)])


def asking(cookie: str) -> SimpleNamespace:
    return SimpleNamespace(headers={"cookie": cookie})


@pytest.mark.parametrize("kept", [b"", b"half a key"])
def test_half_a_key_is_no_key(tmp_path, kept):
    """A crash or a full disk left it: cookies signed with nothing could be made by anybody."""
    (tmp_path / KEY_FILE).write_bytes(kept)
    cookie = f"{COOKIE}={Guests(kept).issue()}"
    with pytest.raises(NotFound):
        Guests.open(tmp_path).of(asking(cookie))
    assert Guests.open(tmp_path).of(asking(f"{COOKIE}={Guests.open(tmp_path).issue()}"))


def test_every_browser_is_an_owner_of_its_own(guests):
    with TestClient(app(guests)) as ann, TestClient(app(guests)) as bob:
        set_cookie = ann.get("/").headers["set-cookie"]
        assert "HttpOnly" in set_cookie and "SameSite=Lax" in set_cookie and "Secure" not in set_cookie
        bob.get("/")
        assert ann.get("/who").text != bob.get("/who").text
        assert "set-cookie" not in ann.get("/").headers  # it stays who it is


def test_over_https_the_cookie_stays_there(guests):
    with TestClient(app(guests), base_url="https://avatar.example") as ann:
        assert "; Secure" in ann.get("/").headers["set-cookie"]


def test_a_guest_is_known_after_a_restart(guests, tmp_path):
    cookie = guests.issue()
    assert Guests.open(tmp_path).owner(cookie) == guests.owner(cookie) is not None
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "cookie", ["", "abc", "abc.", ".abc", "local", "local.0", "0" * 32 + "." + "0" * 64, "a.é", "ann.\ud800"]
)
def test_nobody_chooses_who_they_are(guests, cookie):
    assert guests.owner(cookie) is None
    with pytest.raises(NotFound, match="reload"):
        guests.of(asking(f"{COOKIE}={cookie}"))


def test_a_signature_is_good_for_one_name_and_one_server(guests, tmp_path):
    name, _, signature = guests.issue().partition(".")
    assert guests.owner(f"{name}.{signature}") == f"guest:{name}"
    assert guests.owner(f"{name[:-1]}x.{signature}") is None
    assert Guests.open(tmp_path / "other").owner(f"{name}.{signature}") is None


def test_other_cookies_do_no_harm(guests):
    cookie = guests.issue()
    assert guests.of(asking(f"theme=dark; {COOKIE}={cookie}; x=y")) == guests.owner(cookie)
    with pytest.raises(NotFound):
        guests.of(asking("=;;\x00 broken"))
