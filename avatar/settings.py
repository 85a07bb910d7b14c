"""All configuration, read from AVATAR_* once at start. Knows no engine: names of rungs are checked by the pool.

An unknown name or an ill-typed value is a SettingsError whose sentence lists the valid choices.
"""

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from avatar.errors import SettingsError

PREFIX = "AVATAR_"
LOCAL = "local"  # the one owner on loopback without a password: all seats may be theirs
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SEATS = 5  # the brief's number, for one card of 24 GB; with several cards planner.py knows more


def _setting(
    default: Any,
    help: str,
    low: float | None = None,
    high: float | None = None,
    *,
    folder: bool = False,
    secret: bool = False,
) -> Any:
    """`folder`: a value that is written like a path is one, any other is a name. `secret`: never in a repr."""
    return field(default=default, repr=not secret, metadata={"help": help, "low": low, "high": high, "folder": folder})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    host: str = _setting("127.0.0.1", "address to listen on; anything but loopback needs AVATAR_AUTH")
    port: int = _setting(7860, "port of the page", 1, 65535)
    share: bool = _setting(False, "open a Gradio share link; needs AVATAR_AUTH")
    auth: str = _setting("", "user:secret, asked for by the page; needed when other machines can reach it", secret=True)
    open: bool = _setting(
        False, "let others in without a password: each browser is an owner of its own, and anybody may take a seat"
    )
    allowed_hosts: str = _setting(
        "", "names under which a proxy serves the page, separated by commas; anything here needs AVATAR_AUTH"
    )
    https: bool = _setting(
        False, "serve https with a certificate made here, so that phones on your network may use the microphone"
    )
    data: Path = _setting(Path("~/.local/share/avatar"), "conversations, audio and voices of your users")
    weights: Path = _setting(Path("~/.cache/avatar/weights"), "where model weights are kept")
    download: str = _setting("ask", "better weights: ask (a button on Status), auto (in the background) or never")
    stt: str = _setting("auto", "speech to text: auto, the name of one rung, or ray")
    llm: str = _setting("auto", "language model: auto, the name of one rung, or ray")
    tts: str = _setting("auto", "text to speech: auto, the name of one rung, or ray")
    whisper_model: Path | str = _setting(
        "auto",
        "multilingual speech to text: base, small, large-v3-turbo, the folder of a Whisper model for CTranslate2, or "
        "auto: what the graphics card has room for, base without one",
        folder=True,
    )
    hotwords: str = _setting("", "names and rare words that are often said, for Whisper, with commas between")
    llm_url: str = _setting("", "base URL of an OpenAI-compatible server; what users say is sent there")
    llm_model: str = _setting("", "its model; empty: the first that it lists")
    llm_key: str = _setting("", "its key, if it wants one", secret=True)
    ray_url: str = _setting(
        "http://127.0.0.1:8000", "proxies of a Ray Serve cluster, separated by commas, for the engines that are `ray`"
    )
    ray_key: str = _setting("", "its key, the same on its nodes and here; empty: none", secret=True)
    gguf: Path | None = _setting(None, "a GGUF file for llama.cpp instead of SmolLM2-135M and Qwen2.5-1.5B")
    pocket_model: Path | None = _setting(
        None, "a folder with a pocket-tts model, or with several, instead of the fetched one"
    )
    vllm_model: Path | None = _setting(None, "a folder with a model for vLLM instead of Qwen2.5-7B-Instruct-AWQ")
    f5_model: Path | None = _setting(
        None, "a folder with an F5-TTS v1 model and its vocoder instead of the fetched ones"
    )
    cosyvoice_model: Path | None = _setting(
        None, "a folder with Fun-CosyVoice3-0.5B, for the HQ voice, instead of the fetched one"
    )
    f5_first_steps: int = _setting(
        7, "steps of F5-TTS for the first clause of a reply; 5, 6, 7, 10, 12, 16 or 32", 5, 32
    )
    f5_steps: int = _setting(16, "its steps for every other clause", 5, 32)
    threads: int = _setting(
        0, "threads of the language model; 0: 1 for the bundled one, else all cores but one, up to 4", 0, 64
    )
    vram_gib: float = _setting(0.0, "plan as if the graphics card had only so many GiB; 0: all that it has", 0, 4096)
    hq_takes: bool = _setting(
        False, "while nobody talks, speak recent replies again in the HQ voice, to replay and export"
    )
    max_sessions: int = _setting(
        0, "how many may talk at once; 0: what the graphics cards carry, and 5 with one card or none", 0, 64
    )
    idle_warn_s: float = _setting(240.0, "an idle seat is warned after this many seconds", 1)
    idle_s: float = _setting(300.0, "an idle seat is freed after this many seconds", 2)
    drain_s: float = _setting(
        10.0,
        "asked to stop (SIGTERM), AVATAR lets replies that run be heard for so many seconds; 0: stops at once",
        0,
        600,
    )
    patience_ms: int = _setting(
        1300,
        "the longest pause before AVATAR answers although it is unsure; shorter where the words could end",
        300,
        2500,
    )
    max_utterance_s: float = _setting(60.0, "an utterance is closed after this many seconds", 5, 300)
    upload_mib: int = _setting(25, "the largest recording or upload in MiB", 1, 500)
    keep_days: float = _setting(0.0, "History proposes to delete conversations older than these days; 0: never", 0)
    keep_gib: float = _setting(0.0, "History proposes to delete the oldest above this size of recordings; 0: never", 0)
    log_level: str = _setting("info", "debug, info, warning or error; words and audio are never logged")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the page, so that no login is needed."""
        return self.host in LOOPBACK and not self.share and not self.host_names

    @property
    def host_names(self) -> tuple[str, ...]:
        return tuple(part.strip().lower() for part in self.allowed_hosts.split(",") if part.strip())

    @property
    def seats(self) -> int:
        """How many may talk at once, as far as it is known without a plan of the cards."""
        return self.max_sessions or SEATS

    @property
    def operator(self) -> str:
        """The owner who may do what touches everybody, such as a download. A guest of AVATAR_OPEN never is."""
        return self.auth.partition(":")[0] or LOCAL

    @property
    def database(self) -> Path:
        return self.data / "avatar.db"

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ, **overrides: Any) -> "Settings":
        """Read AVATAR_* from `env`; `overrides` (the command line) win. Raises SettingsError."""
        by_name = {PREFIX + f.name.upper(): f for f in fields(cls)}
        values: dict[str, Any] = {}
        for name, raw in env.items():
            if not name.startswith(PREFIX):
                continue
            if name not in by_name:
                names = {known.removeprefix(PREFIX): known for known in by_name}  # what all share says nothing
                near = difflib.get_close_matches(name.removeprefix(PREFIX), names, n=1)
                hint = f" Did you mean {names[near[0]]}?" if near else ""
                raise SettingsError(f"{name} is not a setting.{hint} The settings are: {', '.join(by_name)}.")
            spec = by_name[name]
            values[spec.name] = _parse(name, raw, spec)
        for key, value in overrides.items():
            if value is not None:
                spec = by_name[PREFIX + key.upper()]
                values[key] = _parse(f"--{key}", str(value), spec)
        for name, spec in by_name.items():
            if spec.name not in values and isinstance(spec.default, Path):
                values[spec.name] = _expand(name, spec.default)
        settings = cls(**values)
        settings.check()
        return settings

    def check(self) -> None:
        """Refuse combinations that cannot work or are not safe. Raises SettingsError."""
        if self.auth and not all(self.auth.partition(":")):
            raise SettingsError("AVATAR_AUTH must be user:secret, with something on both sides of the colon.")
        if self.open and self.auth:
            raise SettingsError(
                "AVATAR_OPEN lets everybody in and AVATAR_AUTH asks for a password. Set one of the two."
            )
        if not self.loopback and not self.auth and not self.open:
            raise SettingsError(
                "Others could reach this page, so it needs a password: set AVATAR_AUTH=user:secret, "
                "or serve it to this machine only (no --share, --host 127.0.0.1, no AVATAR_ALLOWED_HOSTS). "
                "AVATAR_OPEN=1 lets everybody in instead."
            )
        if self.share and self.https:
            raise SettingsError(
                "A share link is https already, and its tunnel speaks plain http to this page. Set one of the two."
            )
        for name in self.host_names:
            if not _HOST_NAME.fullmatch(name):
                raise SettingsError(
                    f"AVATAR_ALLOWED_HOSTS: {name} is not a host name. Write names without https:// or a port, "
                    "separated by commas."
                )
        if self.llm_url:
            self._check_llm()
        if not all(map(_is_base_url, self.ray_url.split(","))):
            raise SettingsError("AVATAR_RAY_URL is not a list of base URLs. Write it like http://127.0.0.1:8000.")
        if not self.ray_key.isascii() or not self.ray_key.isprintable():
            raise SettingsError("AVATAR_RAY_KEY holds a character that no HTTP header can carry.")
        if self.idle_warn_s >= self.idle_s:
            raise SettingsError("AVATAR_IDLE_WARN_S must be smaller than AVATAR_IDLE_S.")
        if self.download not in ("ask", "auto", "never"):
            raise SettingsError(f"AVATAR_DOWNLOAD={self.download} is not one of ask, auto, never.")
        if self.log_level not in ("debug", "info", "warning", "error"):
            raise SettingsError(f"AVATAR_LOG_LEVEL={self.log_level} is not one of debug, info, warning, error.")
        if self.gguf is not None and not self.gguf.is_file():
            raise SettingsError(f"AVATAR_GGUF={self.gguf} is not a file. Give the path of a .gguf model, or unset it.")
        if isinstance(self.whisper_model, Path) and not self.whisper_model.is_dir():
            raise SettingsError(
                f"AVATAR_WHISPER_MODEL={self.whisper_model} is not a folder. Give that of a Whisper model for "
                "CTranslate2, or unset it."
            )
        for name in ("pocket_model", "vllm_model", "f5_model", "cosyvoice_model"):
            if (folder := getattr(self, name)) is not None and not folder.is_dir():
                raise SettingsError(f"{PREFIX}{name.upper()}={folder} is not a folder. Give one, or unset it.")

    def _check_llm(self) -> None:
        """No value is repeated: a URL may hold a password."""
        url = urlsplit(self.llm_url) if _is_base_url(self.llm_url) else None
        if url is None or url.query or url.fragment or not self.llm_url.isprintable() or " " in self.llm_url:
            raise SettingsError("AVATAR_LLM_URL is not a base URL. Write it like http://127.0.0.1:8080/v1.")
        if "@" in url.netloc:
            raise SettingsError("AVATAR_LLM_URL holds a user or password. Leave them out; AVATAR_LLM_KEY takes a key.")
        if not self.llm_key.isascii() or not self.llm_key.isprintable() or " " in self.llm_key:
            raise SettingsError("AVATAR_LLM_KEY holds a character that no HTTP header can carry. Copy it again.")


def _is_base_url(text: str) -> bool:
    try:
        url = urlsplit(text.strip())
        return bool(url.scheme in ("http", "https") and url.hostname and url.port != 0)
    except ValueError:  # brackets, or a port that is none
        return False


def _expand(name: str, path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as exc:
        raise SettingsError(f"{name}={path} has no home folder to stand in. Give the full path.") from exc


def _parse(name: str, raw: str, spec: Any) -> Any:
    low, high = spec.metadata["low"], spec.metadata["high"]
    if isinstance(spec.default, bool):
        word = raw.strip().lower()
        if word not in (*_TRUE, *_FALSE):
            raise SettingsError(f"{name}={raw} is not yes or no. Use 1 or 0.")
        return word in _TRUE
    if isinstance(spec.default, int | float):
        kind = type(spec.default)
        try:
            value = kind(raw)
        except ValueError as exc:
            raise SettingsError(f"{name}={raw} is not a {'whole ' if kind is int else ''}number.") from exc
        # written so that NaN fails too
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            bounds = f"from {low:g} to {high:g}" if high is not None else f"at least {low:g}"
            raise SettingsError(f"{name}={raw} is out of range: it must be {bounds}.")
        return value
    if isinstance(spec.default, Path) or spec.default is None:
        if not raw.strip():
            raise SettingsError(f"{name} is empty: give a path, or unset it.")
        return _expand(name, Path(raw))
    raw = raw.strip()
    return _expand(name, Path(raw)) if spec.metadata["folder"] and (os.sep in raw or raw.startswith("~")) else raw


_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
