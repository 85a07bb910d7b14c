"""The login."""

from typing import Final

ENGLISH: Final[dict[str, str]] = {
    "login_user": "User name",
    "login_secret": "Password",
    "login_enter": "Log in",
    "login_wrong": "Wrong user name or password. Try again.",
    "login_many": "Too many attempts. Try again in {s} s.",
    "login_lost": "AVATAR does not answer. Try again in a moment.",
}

CHINESE: Final[dict[str, str]] = {
    "login_user": "使用者名稱",
    "login_secret": "密碼",
    "login_enter": "登入",
    "login_wrong": "使用者名稱或密碼不對，請再試一次。",
    "login_many": "嘗試次數過多，請在 {s} 秒後再試。",
    "login_lost": "AVATAR 沒有回應，請稍後再試。",
}
