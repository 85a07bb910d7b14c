import datetime
import os
import ssl
import stat
from urllib.request import proxy_bypass_environment

import pytest
from cryptography import x509

from avatar import lan


def names(certificate) -> set[str]:
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    return set(map(str, found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value._general_names))


def test_the_certificate_fits_this_machine_and_is_kept(tmp_path):
    key, crt = lan.certificate(tmp_path)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(crt, key)  # raises when they do not belong together
    assert any("127.0.0.1" in name for name in names(crt)) and any("localhost" in name for name in names(crt))
    assert all(any(address in name for name in names(crt)) for address in lan.addresses())
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = crt.read_bytes()
    assert lan.certificate(tmp_path) == (key, crt) and crt.read_bytes() == before


def test_it_is_made_anew_before_it_ends_and_when_the_address_changes(tmp_path, monkeypatch):
    _, crt = lan.certificate(tmp_path)
    before, now = crt.read_bytes(), datetime.datetime.now(datetime.UTC)
    lan.certificate(tmp_path, now + datetime.timedelta(days=lan.DAYS - lan.RENEW_DAYS - 2))
    assert crt.read_bytes() == before
    lan.certificate(tmp_path, now + datetime.timedelta(days=lan.DAYS - lan.RENEW_DAYS + 2))
    assert crt.read_bytes() != before
    before = crt.read_bytes()
    monkeypatch.setattr(lan, "addresses", lambda: ["192.168.7.7"])
    lan.certificate(tmp_path)
    assert crt.read_bytes() != before and any("192.168.7.7" in name for name in names(crt))


def test_browsers_take_its_lifetime(tmp_path):
    found = x509.load_pem_x509_certificate(lan.certificate(tmp_path)[1].read_bytes())
    assert found.not_valid_after_utc - found.not_valid_before_utc < datetime.timedelta(days=398)


@pytest.mark.parametrize(
    ("host", "https", "expected"),
    [
        ("192.168.1.5", True, ["https://192.168.1.5:7860"]),
        ("192.168.1.5", False, ["http://192.168.1.5:7860"]),
        ("fd00::1", True, ["https://[fd00::1]:7860"]),
        ("0.0.0.0", True, ["https://10.0.0.9:7860", "https://203.0.113.4:7860"]),
    ],
)
def test_the_addresses_are_what_one_types_on_a_phone(host, https, expected, monkeypatch):
    monkeypatch.setattr(lan, "addresses", lambda: ["10.0.0.9", "203.0.113.4"])
    assert lan.reachable(host, 7860, https) == expected


def test_the_code_says_the_address():
    text = lan.qr("https://192.168.1.5:7860")
    assert len(text.splitlines()) >= 13 and set(text) <= set(" █▀▄\n")
    assert lan.qr("https://192.168.1.6:7860") != text
    assert lan.qr_svg("https://192.168.1.5:7860").startswith("<svg")


def test_this_machine_is_reached_without_a_proxy_and_others_as_before(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "example.test")
    monkeypatch.setenv("no_proxy", "")
    for _ in range(2):
        lan.reach_directly("192.168.7.7")
    assert os.environ["NO_PROXY"] == "example.test,localhost,127.0.0.1,::1,192.168.7.7"
    assert proxy_bypass_environment("127.0.0.1") and proxy_bypass_environment("192.168.7.7")
    assert not proxy_bypass_environment("192.168.7.8")
