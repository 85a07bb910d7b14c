"""The login in a browser: what is said of a password that is wrong, and of one too many."""

import pytest
from page_site import IN_A_BROWSER
from playwright.sync_api import Browser, Route, expect

from avatar.ui.login import login_page
from avatar.ui.strings import CHINESE, ENGLISH

pytestmark = IN_A_BROWSER
SITE = "http://avatar.test/"


@pytest.mark.parametrize(("language", "words"), [("en", ENGLISH), ("zh-TW", CHINESE)])
def test_each_refusal_is_told_and_the_right_password_opens_the_page(
    browser: Browser, language: str, words: dict[str, str]
) -> None:
    context = browser.new_context()
    tried, answers = list[str](), [400, 429, 0, 200]

    def serve(route: Route) -> None:
        if not route.request.url.endswith("/login"):
            inside = len(answers) == 0
            return route.fulfill(content_type="text/html", body="inside" if inside else login_page(language))
        tried.append(route.request.post_data or "")
        status = answers.pop(0)
        return route.fulfill(status=status, headers={"Retry-After": "15"}) if status else route.abort()

    context.route("**/*", serve)
    page = context.new_page()
    page.goto(SITE)
    user, secret = page.get_by_label(words["login_user"]), page.get_by_label(words["login_secret"])
    expect(user).to_be_focused()
    user.fill("ann")
    told = page.get_by_role("alert")
    for word in ("login_wrong", "login_many", "login_lost"):
        secret.fill("guess")
        page.keyboard.press("Enter")
        expect(told).to_have_text(words[word].format(s=15))
        expect(secret).to_be_focused()
    page.keyboard.type("secret words")  # over what was selected
    page.get_by_role("button", name=words["login_enter"]).click()
    expect(page.locator("body")).to_have_text("inside")
    assert "ann" in tried[-1] and "secret words" in tried[-1] and "guess" not in tried[-1]
    context.close()
