"""Who is not logged in gets the login, in their language; everything else goes on to Gradio."""

import re

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from avatar.owners import owners
from avatar.settings import Settings
from avatar.ui.login import Login, login_page
from avatar.ui.strings import CHINESE, ENGLISH


@pytest.fixture
def ask() -> httpx.AsyncClient:
    def page(request: object) -> PlainTextResponse:
        return PlainTextResponse("the page")

    owner_of = owners(Settings(auth="ann:secret"))
    routes = [Route("/", page), Route("/config", page)]
    app = Starlette(routes=routes, middleware=[Middleware(Login, owner_of=owner_of)])
    app.cookie_id, app.tokens = "7", {"t0ken": "ann"}  # type: ignore[attr-defined]  # as Gradio's App keeps its logins
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


async def test_a_stranger_is_asked_in_their_language(ask: httpx.AsyncClient) -> None:
    for language, words in (("en-GB,en", ENGLISH), ("zh-HK,zh;q=0.9", CHINESE)):
        answer = await ask.get("/", headers={"Accept-Language": language})
        assert answer.status_code == 200 and answer.headers["Cache-Control"] == "no-store"
        assert words["login_user"] in answer.text and words["login_enter"] in answer.text
        assert "the page" not in answer.text


async def test_who_is_logged_in_gets_the_page_and_other_paths_are_gradios(ask: httpx.AsyncClient) -> None:
    assert (await ask.get("/config")).text == "the page"
    ask.cookies["access-token-unsecure-7"] = "t0ken"
    assert (await ask.get("/")).text == "the page"
    ask.cookies["access-token-unsecure-7"] = "another"
    assert (await ask.get("/")).text != "the page"


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_left_to_fill_in() -> None:
    page = login_page("en")
    assert not re.search(r"\$\w|\b(src|href)=", page)
    assert 'autocomplete="current-password"' in page
