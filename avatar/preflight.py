"""What would stop the start, found out before anything is fetched or loaded. Knows no engine but its name."""

import errno
import os
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

from avatar import lan
from avatar.engines.catalog import CATALOG, allowed
from avatar.errors import SettingsError
from avatar.guests import Guests
from avatar.settings import Settings


def check(settings: Settings) -> None:
    """Raises SettingsError with the setting to change and what it could be, and StorageError for files that a setting
    needs; those that are missing are made."""
    allowed(CATALOG, settings)  # AVATAR_STT, AVATAR_LLM, AVATAR_TTS and the models that go with them
    check_port(settings.host, settings.port)
    if not settings.database.is_file():  # what is there is read, also where nothing can be written
        check_folder("AVATAR_DATA", settings.data)
    if settings.open and not settings.loopback:
        Guests.open(settings.data)
    if settings.https:
        lan.certificate(settings.data)


def check_port(host: str, port: int) -> None:
    """Raises SettingsError when nothing can be served there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will: a port just left is free
            probe.bind(address)
            probe.listen(1)
    except socket.gaierror as exc:
        raise SettingsError(f"AVATAR_HOST={host} is not an address. Leave it out to serve this machine only.") from exc
    except OSError as exc:
        raise SettingsError(_why(host, port, exc)) from exc


def _why(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        other = "--port " + str(port + 1 if port < 65535 else port - 1)
        return f"port {port} is taken{_by_whom(port)}. End that, or choose another port: {other}."
    if error.errno == errno.EACCES:
        return f"port {port} is only for the administrator. Choose one from 1024 on: --port 7860."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"AVATAR_HOST={host} is not an address of this machine. Use 127.0.0.1, or 0.0.0.0 for all of its own."
    return f"nothing can be served at {host}:{port} ({error.strerror}). Choose another --host or --port."


def _by_whom(port: int) -> str:
    """' by NAME (process N)' where the system tells, else ''."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    return ""


def check_folder(setting: str, folder: Path) -> None:
    """Make `folder` where it is missing, and write a file into it. Raises SettingsError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as exc:
        why = os.strerror(exc.errno) if exc.errno else type(exc).__name__
        raise SettingsError(
            f"{setting}={folder} cannot be written ({why}). Give it a folder that is yours, or free space on its disk."
        ) from exc
