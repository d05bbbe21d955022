"""The certificate our listeners show: what it says, taken anew when it changes, known by our own clients."""

import os
import ssl
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from chains import NOW, Authority, encrypted

from observe.certificates import Own, Served, read
from observe.errors import ConfigError


def shown(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> bytes:
    """The certificate that a handshake in memory shows the client, if it believes it."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name or None)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (ours, theirs):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return ours.getpeercert(binary_form=True) or b""


def der(cert: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(cert.read_text())


def test_a_certificate_says_until_when_it_holds_and_for_which_names(tmp_path: Path) -> None:
    cert, _ = Authority(tmp_path).sign("server", "observe.example.com", "*.ml.example.com", "10.1.2.3", "::1", days=20)

    found = read(cert)

    assert found.names == ("observe.example.com", "*.ml.example.com", "10.1.2.3", "::1")
    assert (found.not_before, found.not_after) == (NOW - timedelta(days=60), NOW + timedelta(days=20))


def test_a_time_after_2049_is_written_another_way_and_read_all_the_same(tmp_path: Path) -> None:
    cert, _ = Authority(tmp_path).sign("server", days=365 * 40)

    assert read(cert).not_after == NOW + timedelta(days=365 * 40)


@pytest.mark.parametrize("text", ["", "hello", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"])
def test_a_file_that_is_no_certificate_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.pem").write_text(text)

    with pytest.raises(ConfigError, match=r"odd\.pem holds no certificate"):
        read(tmp_path / "odd.pem")


@pytest.mark.parametrize("flip", range(0, 400, 7))
def test_a_damaged_certificate_is_refused_or_read_but_breaks_nothing(tmp_path: Path, flip: int) -> None:
    cert, _ = Authority(tmp_path).sign("server", "a.example.com")
    raw = bytearray(der(cert))
    raw[flip % len(raw)] ^= 0xFF
    cert.write_text(ssl.DER_cert_to_PEM_cert(bytes(raw)))

    with suppress(ConfigError):
        assert read(cert).not_after


def test_a_key_of_another_certificate_is_refused_at_start(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, _ = authority.sign("one")
    _, key = authority.sign("two")

    with pytest.raises(ConfigError, match=r"cannot use .*one\.pem with .*two\.key: KEY_VALUES_MISMATCH"):
        Served(cert, key)


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_phrase(tmp_path: Path) -> None:
    cert, key = Authority(tmp_path).sign("server")
    encrypted(key, b"secret")

    with pytest.raises(ConfigError, match="the key is encrypted"):
        Served(cert, key)


def test_new_files_are_shown_once_they_stand_still_and_old_clients_still_know_us_by_the_ca(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    served = Served(*authority.sign("server", "observe.example.com"))
    own = Own(served.cert, authority.path)
    client = own.context
    before = shown(served.context, client, own.name)
    authority.sign("server", "observe.example.com")  # the same files, written anew

    assert [served.refresh(), served.refresh(), served.refresh()] == [False, True, False]
    assert shown(served.context, client, own.name) == der(served.cert) != before


def test_files_that_do_not_fit_leave_the_old_certificate_in_place(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    served = Served(*authority.sign("server", "observe.example.com"))
    before, client = der(served.cert), Own(served.cert, authority.path).context
    other, _ = authority.sign("other", "observe.example.com")
    os.replace(other, served.cert)

    assert [served.refresh(), served.refresh()] == [False, False]
    assert shown(served.context, client, "observe.example.com") == before


@pytest.mark.parametrize("names", [(), ("observe.example.com",), ("*.example.com",), ("127.0.0.1",)])
def test_without_a_ca_our_clients_know_the_certificate_itself_and_no_other(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    authority = Authority(tmp_path)
    served = Served(*authority.sign("server", *names))
    stranger = Served(*authority.sign("stranger", *names))
    own = Own(served.cert)

    assert shown(served.context, own.context, own.name) == der(served.cert)
    with pytest.raises(ssl.SSLCertVerificationError):
        shown(stranger.context, own.context, own.name)


def test_a_client_learns_of_a_renewed_certificate_and_keeps_its_trust_in_the_old_one(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    served = Served(*authority.sign("server", "observe.example.com"))
    own = Own(served.cert)
    authority.sign("server", "other.example.com")
    old = der(served.cert)

    assert [own.refresh(), own.refresh()] == [True, False]
    assert shown(served.context, own.context, "observe.example.com") != old
    assert [served.refresh(), served.refresh()] == [False, True]
    assert shown(served.context, own.context, own.name) == der(served.cert)


def test_a_certificate_of_the_same_ca_for_another_name_is_not_us(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    served = Served(*authority.sign("server", "observe.example.com"))
    stranger = Served(*authority.sign("stranger", "mail.example.com"))
    own = Own(served.cert, authority.path)

    with pytest.raises(ssl.SSLCertVerificationError):
        shown(stranger.context, own.context, own.name)
