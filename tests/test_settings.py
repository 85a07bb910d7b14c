import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.errors import SettingsError
from avatar.settings import PREFIX, Settings

EXAMPLE = Path(__file__).parent.parent / ".env.example"


def refused(env: dict[str, str], **overrides: Any) -> str:
    with pytest.raises(SettingsError) as error:
        Settings.from_env(env, **overrides)
    return error.value.sentence


def test_nothing_set_is_a_working_default() -> None:
    settings = Settings.from_env({"PATH": "/bin", "HOME": "/home/ann"})
    assert settings.loopback and settings.port == 7860 and settings.max_sessions == 0 and settings.seats == 5
    assert settings.database == settings.data / "avatar.db"
    assert settings.data.is_absolute() and settings.weights.is_absolute()


def test_values_are_read_and_typed(tmp_path: Path) -> None:
    gguf = tmp_path / "m.gguf"
    gguf.touch()
    settings = Settings.from_env(
        {
            "AVATAR_PORT": "8080",
            "AVATAR_IDLE_S": "600",
            "AVATAR_DATA": "~/talks",
            "AVATAR_GGUF": str(gguf),
            "AVATAR_STT": " moonshine ",
        }
    )
    assert (settings.port, settings.idle_s, settings.stt) == (8080, 600.0, "moonshine")
    assert settings.data == Path.home() / "talks" and settings.gguf == gguf


def test_a_model_is_a_name_or_what_is_written_like_a_path(tmp_path: Path) -> None:
    assert Settings.from_env({"AVATAR_WHISPER_MODEL": " base "}).whisper_model == "base"
    assert Settings.from_env({"AVATAR_WHISPER_MODEL": str(tmp_path)}).whisper_model == tmp_path
    assert Settings.from_env({"AVATAR_WHISPER_MODEL": "~"}).whisper_model == Path.home()


@pytest.mark.parametrize("word", ["1", "true", "YES", "on"])
def test_yes_has_many_spellings(word: str) -> None:
    assert Settings.from_env({"AVATAR_SHARE": word, "AVATAR_AUTH": "ann:secret"}).share


def test_the_command_line_wins() -> None:
    settings = Settings.from_env(
        {"AVATAR_PORT": "8080", "AVATAR_SHARE": "0", "AVATAR_AUTH": "a:b"}, port=9000, share=True
    )
    assert settings.port == 9000 and settings.share
    assert Settings.from_env({"AVATAR_PORT": "8080"}, port=None).port == 8080
    assert refused({}, port=70000).startswith("--port=70000 is out of range")


def test_an_unknown_name_lists_the_known_ones_and_the_nearest() -> None:
    sentence = refused({"AVATAR_MAX_SESSION": "3"})
    assert sentence.startswith("AVATAR_MAX_SESSION is not a setting. Did you mean AVATAR_MAX_SESSIONS?")
    assert all(PREFIX + f.name.upper() in sentence for f in fields(Settings))
    assert "Did you mean" not in refused({"AVATAR_XYZZY_QUX": "1"})


@pytest.mark.parametrize(
    ("name", "raw", "words"),
    [
        ("PORT", "http", "not a whole number"),
        ("PORT", "80.5", "not a whole number"),
        ("PORT", "", "not a whole number"),
        ("PORT", "0", "from 1 to 65535"),
        ("PORT", "65536", "from 1 to 65535"),
        ("MAX_SESSIONS", "-1", "from 0 to 64"),
        ("IDLE_S", "soon", "not a number"),
        ("IDLE_S", "nan", "at least 2"),
        ("IDLE_WARN_S", "-inf", "at least 1"),
        ("MAX_UTTERANCE_S", "inf", "from 5 to 300"),
        ("PATIENCE_MS", "299", "from 300 to 2500"),
        ("SHARE", "maybe", "not yes or no"),
        ("SHARE", "", "not yes or no"),
        ("DATA", " ", "is empty"),
        ("GGUF", "/no/such.gguf", "is not a file"),
        ("POCKET_MODEL", "/no/such/folder", "is not a folder"),
        ("WHISPER_MODEL", "/no/such", "is not a folder"),
        ("LOG_LEVEL", "loud", "debug, info, warning, error"),
        ("AUTH", "secret", "user:secret"),
        ("AUTH", "ann:", "user:secret"),
        ("AUTH", ":secret", "user:secret"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_the_choices(name: str, raw: str, words: str) -> None:
    sentence = refused({PREFIX + name: raw})
    assert words in sentence and PREFIX + name in sentence


def test_a_secret_is_not_repeated() -> None:
    assert "hunter2" not in refused({"AVATAR_AUTH": "hunter2"})
    assert "hunter2" not in refused({"AVATAR_AUHT": "ann:hunter2"})


@pytest.mark.parametrize(
    "reach", [{"AVATAR_SHARE": "1"}, {"AVATAR_HOST": "0.0.0.0"}, {"AVATAR_HOST": ""}, {"AVATAR_HOST": "::"}]
)
def test_others_get_in_with_a_password_only(reach: dict[str, str]) -> None:
    assert "AVATAR_AUTH=user:secret" in refused(reach)
    settings = Settings.from_env({**reach, "AVATAR_AUTH": "ann:s:e"})
    assert not settings.loopback


def test_a_warning_comes_before_the_end() -> None:
    assert "not one of ask, auto, never" in refused({"AVATAR_DOWNLOAD": "always"})
    assert "smaller" in refused({"AVATAR_IDLE_S": "100", "AVATAR_IDLE_WARN_S": "100"})


def test_a_home_that_does_not_exist_is_said() -> None:
    assert "AVATAR_DATA" in refused({"AVATAR_DATA": "~nobody-of-this-name/x"})


@given(st.sampled_from([f.name for f in fields(Settings)]), st.text() | st.from_regex(r"http://[]\[@:0-9a,./ ]*"))
def test_any_text_is_either_used_or_refused_in_words(name: str, raw: str) -> None:
    try:
        Settings.from_env({PREFIX + name.upper(): raw})
    except SettingsError as error:
        assert error.sentence.endswith(".")


def test_the_example_lists_every_setting_with_its_default() -> None:
    lines = re.findall(r"^# (.+)\n#(AVATAR_\w+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE)
    listed = {name: (help, default) for help, name, default in lines}
    shown = {
        PREFIX + f.name.upper(): (
            f.metadata["help"],
            "" if f.default is None else str(int(f.default)) if isinstance(f.default, bool) else str(f.default),
        )
        for f in fields(Settings)
    }
    assert listed == shown and len(lines) == len(shown)


def test_the_examples_defaults_are_what_no_setting_gives() -> None:
    pairs = re.findall(r"^#(AVATAR_\w+)=(.+)$", EXAMPLE.read_text(), re.MULTILINE)
    assert Settings.from_env(dict(pairs)) == Settings.from_env({})
