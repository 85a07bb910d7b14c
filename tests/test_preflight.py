import socket
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from avatar import lan, preflight
from avatar.errors import SettingsError, StorageError
from avatar.settings import Settings


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_what_can_start_passes_and_has_its_folder(settings: Settings, port: int) -> None:
    preflight.check(replace(settings, port=port))
    assert settings.data.is_dir() and not list(settings.data.iterdir())
    assert settings.data.stat().st_mode & 0o077 == 0  # nobody else may look into it
    with socket.create_server(("127.0.0.1", port)):  # left free
        pass


@pytest.mark.parametrize(("stage", "valid"), [("stt", "moonshine"), ("llm", "llamacpp"), ("tts", "espeak")])
def test_an_unknown_engine_lists_the_valid_ones(settings: Settings, port: int, stage: str, valid: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        preflight.check(replace(settings, port=port, **{stage: "alexa"}))
    words = refusal.value.sentence
    assert f"AVATAR_{stage.upper()}=alexa" in words and "auto" in words and valid in words
    assert not settings.data.exists()


def test_a_taken_port_names_who_has_it_and_another_one(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(SettingsError) as refusal:
            preflight.check(replace(settings, port=number))
    words = refusal.value.sentence
    assert f"port {number} is taken" in words and "--port" in words
    assert f"process {psutil.Process().pid}" in words


def test_who_may_not_look_at_processes_still_gets_the_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(kind: str) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", denied)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SettingsError, match=r"is taken\. End that"):
        preflight.check_port("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "words"), [("203.0.113.7", "not an address of this machine"), ("no such host", "is not an address.")]
)
def test_an_address_of_elsewhere_is_named(port: int, host: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        preflight.check_port(host, port)


def test_a_port_of_the_administrator(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", denied)
    with pytest.raises(SettingsError, match="from 1024 on"):
        preflight.check_port("127.0.0.1", 80)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"AVATAR_DATA=.*cannot be written \(Not a directory\)"):
        preflight.check_folder("AVATAR_DATA", tmp_path / "file" / "data")


@pytest.mark.parametrize("kept", ["guests.key", "guests.new"])
def test_a_key_of_guests_that_cannot_be_kept_is_named(settings: Settings, port: int, kept: str) -> None:
    (settings.data / kept).mkdir(parents=True)  # as root a folder that only others may write is no hindrance
    with pytest.raises(StorageError, match=r"AVATAR_OPEN needs .*guests\.key.*Make the folder writable"):
        preflight.check(replace(settings, port=port, host="0.0.0.0", open=True))
    preflight.check(replace(settings, port=port, open=True))  # here alone nobody is told apart


@pytest.mark.parametrize("damaged", [lan.CERTIFICATE, lan.KEY])
@pytest.mark.parametrize("content", ["", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"])
def test_a_damaged_certificate_is_named_and_what_to_do(
    settings: Settings, port: int, damaged: str, content: str
) -> None:
    https = replace(settings, port=port, https=True)
    preflight.check(https)
    (settings.data / damaged).write_text(content)
    with pytest.raises(StorageError, match=r"https\.crt and https\.key beside it are damaged.*Remove both"):
        preflight.check(https)
    for name in (lan.CERTIFICATE, lan.KEY):
        (settings.data / name).unlink()
    preflight.check(https)


def test_a_certificate_that_cannot_be_written_is_named(settings: Settings, port: int) -> None:
    (settings.data / lan.KEY).with_suffix(".part").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"https\.crt cannot be read or written"):
        preflight.check(replace(settings, port=port, https=True))
