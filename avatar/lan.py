"""For phones on the same network: the addresses under which they reach this machine, a certificate of our own for
https, and the address as a QR code. Knows no server.

Browsers give the microphone to https and localhost only. A certificate that nobody vouches for makes them warn once; it
then protects against those who listen on the local network, not against one who stands between.
"""

import datetime
import io
import ipaddress
import os
import socket
import ssl
from pathlib import Path

import psutil
import segno

from avatar.errors import StorageError
from avatar.refused import WRITABLE

DAYS = 365  # browsers refuse certificates that are valid for longer than 398
RENEW_DAYS = 30
KEY, CERTIFICATE = "https.key", "https.crt"
WILDCARDS = ("0.0.0.0", "::", "")


def addresses() -> list[str]:
    """This machine's IPv4 addresses on networks of its own, private ones first; never loopback."""
    found = [
        address.address
        for name, entries in psutil.net_if_addrs().items()
        for address in entries
        if address.family == socket.AF_INET and not name.startswith(("docker", "br-", "veth"))
    ]
    usable = [a for a in map(ipaddress.ip_address, found) if not a.is_loopback and not a.is_link_local]
    return [str(a) for a in sorted(usable, key=lambda a: (not a.is_private, found.index(str(a))))]


def reachable(host: str, port: int, https: bool) -> list[str]:
    """The addresses to type on another machine, for a server that listens at `host`."""
    hosts = addresses() if host in WILDCARDS else [f"[{host}]" if ":" in host else host]
    return [f"http{'s' * https}://{name}:{port}" for name in hosts]


def reach_directly(host: str) -> None:
    """This machine, not through HTTP_PROXY: Gradio asks its own page at the start, which ends when a proxy answers."""
    for name in ("NO_PROXY", "no_proxy"):
        known = [part for part in os.environ.get(name, "").split(",") if part]
        os.environ[name] = ",".join(dict.fromkeys([*known, "localhost", "127.0.0.1", "::1", *filter(None, [host])]))


def qr(url: str) -> str:
    """For a terminal: half blocks, two rows of modules in one line of text."""
    drawn = io.StringIO()
    segno.make(url, error="m", micro=False).terminal(drawn, border=2, compact=True)
    return drawn.getvalue()


def qr_svg(url: str) -> str:
    """For a page: black on white whatever the theme, because scanners want it so."""
    svg: str = segno.make(url, error="m", micro=False).svg_inline(scale=4, border=2, dark="#000", light="#fff")
    return svg


def certificate(data: Path, now: datetime.datetime | None = None) -> tuple[Path, Path]:
    """Files of (key, certificate) for this machine's names and addresses, made when there is none that still fits.
    Blocks for about 0.1 s then. Raises StorageError: what is there is no such pair, or the folder cannot be written."""
    now = now or datetime.datetime.now(datetime.UTC)
    key, crt = data / KEY, data / CERTIFICATE
    wanted = _names()
    try:
        if not (key.is_file() and crt.is_file() and _fits(key, crt, wanted, now)):
            _make(key, crt, wanted, now)
    except ValueError as exc:
        sentence = f"{crt} and {KEY} beside it are damaged, or not of AVATAR's making"
        raise StorageError(f"{sentence}. Remove both, and new ones are made.") from exc
    except OSError as exc:
        raise StorageError(f"{crt} cannot be read or written ({exc.strerror}). {WRITABLE}") from exc
    return key, crt


def _fits(key_file: Path, crt_file: Path, wanted: "list[object]", now: datetime.datetime) -> bool:
    """Whether the certificate has these names for a while yet. Raises ValueError: there is none in it, or of another
    key."""
    from cryptography import x509  # 60 ms and 12 MB, only for --https

    try:
        # as the server will, but asks nobody for a password
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(crt_file, key_file, "")
        old = x509.load_pem_x509_certificate(crt_file.read_bytes())
        names = old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ssl.SSLError, x509.ExtensionNotFound) as exc:
        raise ValueError from exc
    return old.not_valid_after_utc - now > datetime.timedelta(days=RENEW_DAYS) and set(wanted) <= set(names)


def _names() -> "list[object]":
    from cryptography import x509

    host = socket.gethostname().lower()
    names = dict.fromkeys(("localhost", host, f"{host.partition('.')[0]}.local"))
    digits = ["127.0.0.1", "::1", *addresses()]
    return [*map(x509.DNSName, names), *(x509.IPAddress(ipaddress.ip_address(a)) for a in digits)]


def _make(key_file: Path, crt_file: Path, names: "list[object]", now: datetime.datetime) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "AVATAR on this machine")])
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # a phone's clock may be behind
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)  # type: ignore[arg-type]
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _replace(key_file, pem)
    _replace(crt_file, signed.public_bytes(serialization.Encoding.PEM))


def _replace(path: Path, content: bytes) -> None:
    """Whole or not at all, and readable by this user only."""
    part = path.with_suffix(".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
