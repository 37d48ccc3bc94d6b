"""Keys: made safely, found by path or environment, refused when they are something else."""

import stat
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from secmlops.bundle import InvalidKey, KeyExists, MissingKey, keygen
from secmlops.bundle.keys import fingerprint, in_memory_file, load_private_key, load_public_key

PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


def pem(key, encryption=None) -> str:
    return key.private_bytes(PEM, PKCS8, encryption or serialization.NoEncryption()).decode()


def public_pem(key) -> str:
    return key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def test_a_pair_belongs_together_and_only_the_owner_reads_the_private_one(tmp_path):
    private, public = keygen(tmp_path / "new" / "signing")

    assert (private, public) == (tmp_path / "new" / "signing", tmp_path / "new" / "signing.pub")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    key = load_private_key(private)
    assert key.curve.name == "secp256r1"
    assert fingerprint(key.public_key()) == fingerprint(load_public_key(public))
    assert b"PRIVATE" not in public.read_bytes()


@pytest.mark.parametrize("existing", ["signing", "signing.pub"])
def test_nothing_is_overwritten_or_half_made(tmp_path, existing):
    (tmp_path / existing).write_text("precious")
    with pytest.raises(KeyExists) as caught:
        keygen(tmp_path / "signing")
    assert caught.value.path == tmp_path / existing
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(existing, "precious")]


def test_a_dangling_link_is_not_written_through(tmp_path):
    (tmp_path / "signing").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyExists):
        keygen(tmp_path / "signing")
    assert not (tmp_path / "elsewhere").exists()


def test_keys_come_by_path_text_or_environment(tmp_path, monkeypatch):
    private, public = keygen(tmp_path / "signing")
    monkeypatch.setenv("KEY_TEXT", private.read_text())
    monkeypatch.setenv("KEY_PATH", str(private))
    monkeypatch.setenv("PUB_TEXT", public.read_text())

    expected = fingerprint(load_public_key(public))
    for source in (private, str(private), private.read_text(), "env:KEY_TEXT", "env:KEY_PATH"):
        assert fingerprint(load_private_key(source).public_key()) == expected
    for source in (str(public), public.read_text(), "env:PUB_TEXT"):
        assert fingerprint(load_public_key(source)) == expected


@pytest.mark.parametrize("value", [None, "", "  \n"])
def test_a_missing_variable_is_named(monkeypatch, value):
    monkeypatch.delenv("NO_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("NO_KEY", value)
    with pytest.raises(MissingKey, match="set the environment variable NO_KEY"):
        load_private_key("env:NO_KEY")


@pytest.mark.parametrize("source", ["nowhere.pem", Path("nowhere.pem"), "a\0b", ".", "x" * 5000])
def test_a_missing_file_is_named(source):
    with pytest.raises(MissingKey):
        load_public_key(source)


P256 = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "no PEM private key", id="empty"),
        pytest.param("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no PEM", id="broken"),
        pytest.param(public_pem(P256), "no PEM private key", id="the public key"),
        pytest.param(pem(P256, serialization.BestAvailableEncryption(b"x")), "encrypted", id="encrypted"),
        pytest.param(pem(rsa.generate_private_key(65537, 2048)), "P-256", id="RSA"),
        pytest.param(pem(ed25519.Ed25519PrivateKey.generate()), "P-256", id="Ed25519"),
        pytest.param(pem(ec.generate_private_key(ec.SECP256K1())), "P-256", id="another curve"),
    ],
)
def test_what_cannot_sign_is_refused(tmp_path, text, reason):
    (tmp_path / "key").write_text(text)
    with pytest.raises(InvalidKey, match=reason):
        load_private_key(tmp_path / "key")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(pem(P256), id="a private key, which a server should not have"),
        pytest.param(public_pem(ed25519.Ed25519PrivateKey.generate()), id="Ed25519"),
        pytest.param("ssh-ed25519 AAAA", id="SSH"),
    ],
)
def test_what_cannot_verify_is_refused(tmp_path, text):
    (tmp_path / "key").write_text(text)
    with pytest.raises(InvalidKey):
        load_public_key(tmp_path / "key")


def test_no_error_repeats_the_key(monkeypatch):
    text = pem(ed25519.Ed25519PrivateKey.generate())
    monkeypatch.setenv("KEY_TEXT", text)
    for source in (text, "env:KEY_TEXT"):
        with pytest.raises(InvalidKey) as caught:
            load_private_key(source)
        assert text.splitlines()[1] not in str(caught.value)


def test_an_in_memory_file_reads_as_its_bytes_and_is_gone_afterwards():
    with in_memory_file(b"secret") as path:
        assert path.read_bytes() == b"secret"
        assert path.read_bytes() == b"secret"
        if sys.platform == "linux":
            assert str(path).startswith("/proc/self/fd/")
    assert not path.exists() or path.read_bytes() != b"secret"


def test_without_memory_files_it_is_a_private_file(monkeypatch):
    monkeypatch.delattr("os.memfd_create", raising=False)
    with in_memory_file(b"secret") as path:
        assert path.read_bytes() == b"secret"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()
