"""The login of AVATAR_AUTH, in place of Gradio's, whose sentences are English in every browser, and which says nothing
to who has tried too often. The form goes to Gradio's own /login. Knows no password.
"""

import html
import json
from string import Template
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from avatar.errors import NotFound
from avatar.owners import OwnerOf
from avatar.ui.fragments import ASSETS, icon
from avatar.ui.strings import language_of, say

# Dark as the page behind it: by the choice that it keeps, or by the system.
_PAGE: Final = Template("""<!doctype html>
<html lang="$language"><head><meta charset="utf-8"><title>AVATAR</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>$sheets</style></head>
<body><script>
let look = '';
try { look = localStorage.getItem('avatar-look') ?? ''; } catch { /* the browser keeps nothing */ }
document.body.classList.toggle('dark', look ? look === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches);
</script>
<main><h1 class="av-login">${mark}AVATAR</h1><form>
<label>$user<input name="username" autocomplete="username" autocapitalize="none" required autofocus></label>
<label>$secret<input name="password" type="password" autocomplete="current-password" required></label>
<p role="alert"></p><button>$enter</button></form></main><script>
const form = document.querySelector('form'), told = document.querySelector('[role=alert]'), words = $words;
form.onsubmit = async event => {
  event.preventDefault();
  told.textContent = '';
  const answer = await fetch('login', { method: 'POST', body: new FormData(form) }).catch(() => null);
  if (answer?.ok) return location.reload();
  const many = words.many.replace('{s}', answer?.headers.get('Retry-After'));
  told.textContent = { 400: words.wrong, 429: many }[answer?.status] ?? words.lost;
  form.elements.password.select();
};
</script></body></html>""")


def login_page(language: str) -> str:
    sheets = "".join((ASSETS / name).read_text(encoding="utf-8") for name in ("tokens.css", "login.css"))
    words = {name: say(f"login_{name}", language, s="{s}") for name in ("wrong", "many", "lost")}
    labels = {name: html.escape(say(f"login_{name}", language)) for name in ("user", "secret", "enter")}
    return _PAGE.substitute(
        language=language, sheets=sheets, mark=icon("mark", "av-mark"), words=json.dumps(words), **labels
    )


class Login:
    """ASGI middleware: who is not logged in and asks for the page gets this one."""

    def __init__(self, app: ASGIApp, owner_of: OwnerOf) -> None:
        self._app, self._owner_of = app, owner_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/" and self._stranger(request := Request(scope)):
            language = language_of(request.headers.get("accept-language"))
            page = HTMLResponse(login_page(language), headers={"Cache-Control": "no-store"})
            await page(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _stranger(self, request: Request) -> bool:
        try:
            self._owner_of(request)
        except NotFound:
            return True
        return False
