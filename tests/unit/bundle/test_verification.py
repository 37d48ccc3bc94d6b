"""Every way in which a bundle can be wrong, each refused with its own error by `verify` and by `load`."""

import base64
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secmlops.bundle import (
    BundleError,
    ForbiddenFile,
    GateNotPassed,
    InvalidKey,
    MalformedBundle,
    MissingKey,
    MissingSignature,
    SignatureInvalid,
    UntrustedKey,
    VerdictMismatch,
    assemble,
    keygen,
    load,
    model_digest,
    sign,
    verify,
)
from secmlops.bundle.keys import fingerprint, load_public_key
from secmlops.bundle.layout import MAX_ENTRIES, MAX_SIGNATURE_BYTES
from secmlops.bundle.signature import parse_envelope, signed_digests
from tests.unit.bundle.conftest import PROVENANCE, make_bundle, make_model, safetensors, verdict_on

FILES = ("card.json", "gate.json", "preprocess.json", "provenance.json", "sbom.json", "tokenizer.json")
ALL_FILES = (*FILES, "weights.safetensors", "model.sig")


def refused(bundle: Path, key: object, error: type[BundleError], match: str | None = None) -> BundleError:
    """Both doors refuse it, with exactly this error."""
    with pytest.raises(error, match=match) as by_load:
        load(bundle, key)
    with pytest.raises(error, match=match) as by_verify:
        verify(bundle, key)
    assert type(by_load.value) is type(by_verify.value) is error
    return by_verify.value


def test_a_good_bundle_is_read(pristine, keys):
    bundle = load(pristine, keys.public)

    assert bundle.verified == verify(pristine, keys.public)
    assert bundle.verdict.passed
    assert bundle.model_digest == bundle.verdict.model_digest == model_digest(pristine)
    assert bundle.card["name"] == "tiny" and bundle.preprocess["threshold"] == 0.5
    assert bundle.provenance["predicateType"] == "https://slsa.dev/provenance/v1"
    assert bundle.read_bytes("weights.safetensors") == safetensors([1, 2, 3, 4])
    assert set(bundle.model_files()) == {"card.json", "preprocess.json", "tokenizer.json", "weights.safetensors"}
    assert set(bundle.names) == set(ALL_FILES) - {"model.sig"}
    assert bundle.verified.signed_by == fingerprint(load_public_key(keys.public))


def test_the_key_may_come_from_the_environment(pristine, keys, monkeypatch):
    monkeypatch.setenv("TRUSTED_KEY", keys.public.read_text())
    assert load(pristine, "env:TRUSTED_KEY").path == pristine


def test_a_bundle_may_be_moved_renamed_and_reached_by_a_link(bundle, keys, tmp_path):
    moved = bundle.rename(tmp_path / "another name")
    (tmp_path / "models").symlink_to(moved)
    assert verify(tmp_path / "models", keys.public).path == moved


# 1. The folder and what may be in it


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_what_is_no_folder(tmp_path, keys, name):
    (tmp_path / "file").write_text("x")
    refused(tmp_path / name, keys.public, MalformedBundle, "not a folder")


class Evil:
    def __reduce__(self):
        return (os.system, ("touch owned",))


@pytest.mark.parametrize("name", ["extra.pkl", "model.pt", "model.PTH", "weights.bin", "x.joblib", "run.py", "lib.so"])
def test_an_extra_file_that_can_carry_code(bundle, keys, name):
    (bundle / name).write_bytes(b"anything")
    assert refused(bundle, keys.public, ForbiddenFile).name == name


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["notes.txt", "vocabulary", "tokenizer.json", "weights.safetensors", "model.onnx"])
def test_a_pickle_under_any_name(bundle, keys, name, protocol):
    (bundle / name).write_bytes(pickle.dumps({"weights": list(range(5)), "evil": Evil()}, protocol))
    assert "pickle" in refused(bundle, keys.public, ForbiddenFile).reason


def test_a_large_pickle_whose_end_is_not_looked_at(bundle, keys):
    (bundle / "weights.safetensors").write_bytes(pickle.dumps([Evil(), b"x" * 100_000]))
    assert "pickle" in refused(bundle, keys.public, ForbiddenFile).reason


def test_a_pickle_signed_with_the_right_key_by_another_tool(bundle, keys):
    (bundle / "tokenizer.json").write_bytes(pickle.dumps(Evil()))
    sign_with_the_library(bundle, keys.private)
    refused(bundle, keys.public, ForbiddenFile)


def test_a_zip_as_torch_saves_it_renamed(bundle, keys):
    with zipfile.ZipFile(bundle / "tokenizer.json", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02.")
    assert "zip" in refused(bundle, keys.public, ForbiddenFile).reason


@pytest.mark.parametrize(
    "head", [b"\x1f\x8b", b"\x93NUMPY", b"\x89HDF\r\n\x1a\n", b"\x7fELF", b"#!/bin/sh\n", b"\0" * 257 + b"ustar\0"]
)
def test_other_formats_that_can_carry_code_renamed(bundle, keys, head):
    (bundle / "tokenizer.json").write_bytes(head + b"\0" * 50)
    refused(bundle, keys.public, ForbiddenFile)


def test_a_link_in_place_of_a_file(bundle, keys, tmp_path):
    (bundle / "card.json").rename(tmp_path / "card.json")
    (bundle / "card.json").symlink_to(tmp_path / "card.json")
    assert refused(bundle, keys.public, ForbiddenFile).name == "card.json"


@pytest.mark.parametrize("target", ["/etc/passwd", "nowhere"])
def test_an_extra_link(bundle, keys, target):
    (bundle / "notes.txt").symlink_to(target)
    refused(bundle, keys.public, ForbiddenFile, "link")


@pytest.mark.parametrize("name", ["extra", ".git", "__pycache__"])
def test_a_folder(bundle, keys, name):
    (bundle / name).mkdir()
    refused(bundle, keys.public, ForbiddenFile, "folder")


def test_a_named_pipe_does_not_hang(bundle, keys):
    (bundle / "tokenizer.json").unlink()
    os.mkfifo(bundle / "tokenizer.json")
    refused(bundle, keys.public, ForbiddenFile, "device")


def test_a_flood_of_files(bundle, keys):
    for number in range(MAX_ENTRIES):
        (bundle / f"{number}.json").write_text("{}")
    refused(bundle, keys.public, MalformedBundle, "more than")


def test_an_oversized_record(bundle, keys):
    with (bundle / "card.json").open("r+b") as file:
        file.truncate(2**40)  # sparse: takes no room
    refused(bundle, keys.public, MalformedBundle, "larger")


# 2. A signature


def test_no_signature(bundle, keys):
    (bundle / "model.sig").unlink()
    refused(bundle, keys.public, MissingSignature)


def test_an_empty_folder(tmp_path, keys):
    refused(tmp_path, keys.public, MissingSignature)


# 3. By the trusted key


def test_signed_with_another_key(bundle, keys, other_keys):
    error = refused(bundle, other_keys.public, UntrustedKey)
    assert error.signed_by == fingerprint(load_public_key(keys.public))
    assert error.trusted == fingerprint(load_public_key(other_keys.public))


def test_signed_again_with_another_key(bundle, keys, other_keys):
    (bundle / "model.sig").unlink()
    sign(bundle, other_keys.private)
    refused(bundle, keys.public, UntrustedKey)


def test_signed_with_another_key_and_changed_too(bundle, other_keys):
    (bundle / "card.json").write_text("{}")
    refused(bundle, other_keys.public, UntrustedKey)


def test_another_key_that_claims_to_be_the_trusted_one(bundle, keys, other_keys):
    """A forger can write any key's name into the signature file: it is not signed."""
    (bundle / "model.sig").unlink()
    sign(bundle, other_keys.private)
    replace_in_signature(bundle, fingerprint(load_public_key(other_keys.public)), trusted_name(keys))
    refused(bundle, keys.public, SignatureInvalid, "changed after signing")


def test_the_trusted_key_under_another_name(bundle, keys, other_keys):
    replace_in_signature(bundle, trusted_name(keys), fingerprint(load_public_key(other_keys.public)))
    refused(bundle, keys.public, SignatureInvalid, "changed after signing")


@pytest.mark.parametrize(("source", "error"), [("nowhere.pub", MissingKey), ("env:NOT_SET_AT_ALL", MissingKey)])
def test_no_trusted_key(pristine, source, error):
    with pytest.raises(error):
        verify(pristine, source)


def test_the_private_key_in_place_of_the_public_one(pristine, keys):
    with pytest.raises(InvalidKey):
        verify(pristine, keys.private)


# 4. Over exactly these bytes


@pytest.mark.parametrize("name", [*FILES, "weights.safetensors"])
@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_one_flipped_byte_in_each_file(bundle, keys, name, flip):
    content = (bundle / name).read_bytes()
    for position in {0, len(content) // 2, len(content) - 1}:
        changed = bytearray(content)
        changed[position] ^= flip
        (bundle / name).write_bytes(changed)
        refused(bundle, keys.public, SignatureInvalid, name.replace(".", r"\."))


def test_one_flipped_byte_anywhere_in_the_weights(bundle, keys):
    content = (bundle / "weights.safetensors").read_bytes()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 0x20
        (bundle / "weights.safetensors").write_bytes(changed)
        with pytest.raises(SignatureInvalid):
            verify(bundle, keys.public)


@pytest.mark.parametrize("flip", [0x01, 0x20, 0xFF])
def test_one_flipped_byte_anywhere_in_the_signature(bundle, keys, flip):
    """No byte of it can change unnoticed: neither base64 padding, nor the fields that are not signed."""
    content = (bundle / "model.sig").read_bytes()
    for position in range(flip % 7, len(content), 7):
        changed = bytearray(content)
        changed[position] ^= flip
        (bundle / "model.sig").write_bytes(changed)
        with pytest.raises(BundleError) as caught:
            verify(bundle, keys.public)
        assert type(caught.value) is SignatureInvalid, position


def test_flipped_bits_in_the_name_of_the_key_are_not_mistaken_for_another_key(bundle, keys):
    content = (bundle / "model.sig").read_bytes()
    start = content.index(trusted_name(keys).encode())
    for position in range(start, start + 64):
        changed = bytearray(content)
        changed[position] = ord("0") if changed[position] != ord("0") else ord("1")
        (bundle / "model.sig").write_bytes(changed)
        with pytest.raises(SignatureInvalid):
            verify(bundle, keys.public)


@pytest.mark.parametrize("name", [*FILES, "weights.safetensors"])
def test_a_removed_file(bundle, keys, name):
    (bundle / name).unlink()
    refused(bundle, keys.public, SignatureInvalid, "is missing")


@pytest.mark.parametrize("name", [*FILES, "weights.safetensors"])
def test_an_emptied_file(bundle, keys, name):
    (bundle / name).write_bytes(b"")
    refused(bundle, keys.public, SignatureInvalid)


@pytest.mark.parametrize(
    "name", ["notes.txt", ".gitignore", ".gitattributes", "model.onnx", "config.json", "model.sig2"]
)
def test_an_added_file(bundle, keys, name):
    (bundle / name).write_bytes(b"\x08\x08")
    refused(bundle, keys.public, SignatureInvalid, "was added")


def test_two_files_swapped(bundle, keys):
    one, two = bundle / "card.json", bundle / "preprocess.json"
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second), two.write_bytes(first)
    refused(bundle, keys.public, SignatureInvalid)


def test_the_signature_of_another_bundle(bundle, keys, tmp_path):
    other = make_bundle(tmp_path / "other", keys.private, weights=[7])
    shutil.copy(other / "model.sig", bundle / "model.sig")
    refused(bundle, keys.public, SignatureInvalid)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{}", id="an empty object"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[" * 50_000, id="nested"),
        pytest.param(b"\xff\xfe", id="not text"),
        pytest.param(b'{"verificationMaterial": {"publicKey": {"hint": "x"}}}', id="parts missing"),
    ],
)
def test_a_signature_file_that_is_none(bundle, keys, data):
    (bundle / "model.sig").write_bytes(data)
    refused(bundle, keys.public, SignatureInvalid, "damaged")


def test_an_oversized_signature(bundle, keys):
    (bundle / "model.sig").write_bytes(b" " * (MAX_SIGNATURE_BYTES + 1))
    refused(bundle, keys.public, MalformedBundle, "larger")


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda s: s.update(note="x"), id="an added field"),
        pytest.param(lambda s: s["verificationMaterial"].update(tlogEntries=[{}]), id="a log entry"),
        pytest.param(lambda s: s["verificationMaterial"]["publicKey"].pop("hint"), id="no key named"),
        pytest.param(lambda s: s["dsseEnvelope"]["signatures"].append({"sig": "QQ==", "keyid": ""}), id="two"),
        pytest.param(lambda s: s["dsseEnvelope"].update(signatures=[]), id="none"),
        pytest.param(lambda s: s["dsseEnvelope"].update(payloadType="text/plain"), id="another type"),
        pytest.param(lambda s: s["dsseEnvelope"]["signatures"][0].update(sig="QUJD"), id="not the signature"),
        pytest.param(lambda s: s["dsseEnvelope"]["signatures"][0].update(sig=""), id="an empty signature"),
        pytest.param(lambda s: s["dsseEnvelope"]["signatures"][0].update(sig="é"), id="not base64"),
        pytest.param(lambda s: s["dsseEnvelope"].update(payload=5), id="payload is a number"),
        pytest.param(
            lambda s: s["dsseEnvelope"].update(payload=base64.b64encode(b'{"_type":"x"}').decode()), id="payload"
        ),
    ],
)
def test_an_edited_signature_file(bundle, keys, edit):
    content = json.loads((bundle / "model.sig").read_bytes())
    edit(content)
    (bundle / "model.sig").write_text(json.dumps(content, separators=(",", ":")))
    refused(bundle, keys.public, SignatureInvalid)


def test_the_same_signature_in_another_layout_is_refused(bundle, keys):
    content = json.loads((bundle / "model.sig").read_bytes())
    (bundle / "model.sig").write_text(json.dumps(content, indent=1))
    refused(bundle, keys.public, SignatureInvalid)


@given(data=st.binary(max_size=200))
def test_any_bytes_are_an_envelope_or_a_value_error(data):
    with pytest.raises(ValueError):
        parse_envelope(data)


@given(
    name=st.text(max_size=12) | st.sampled_from(["../x", "a/b", "", ".", "..", "a"]),
    digest=st.sampled_from(["0" * 64, "0" * 63, "G" * 64, None]),
    algorithm=st.sampled_from(["sha256", "blake2", None]),
)
def test_a_signed_list_names_plain_files_by_sha256_only(name, digest, algorithm):
    resource = {"name": name, "digest": digest, "algorithm": algorithm}
    payload = json.dumps(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "predicateType": "https://model_signing/signature/v1.0",
            "predicate": {"resources": [resource]},
        }
    )
    try:
        found = signed_digests(payload.encode())
    except ValueError:
        return
    assert found == {name: f"sha256:{'0' * 64}"} and algorithm == "sha256"
    assert "/" not in name and name not in ("", ".", "..")


# 5. The files are what their names say, although the right key signed them


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("weights.safetensors", b"not tensors at all", "not safetensors"),
        ("preprocess.json", b"[1]", "not a JSON object"),
        ("card.json", b'{"f1": Infinity}', "Infinity"),
        ("gate.json", b"{}", "no verdict"),
        ("tokenizer.json", b"", "not what its name says"),
    ],
)
def test_nonsense_signed_with_the_right_key(bundle, keys, resign, name, data, reason):
    (bundle / name).write_bytes(data)
    resign(bundle)
    refused(bundle, keys.public, MalformedBundle, reason)


def test_an_incomplete_bundle_signed_by_another_tool(bundle, keys):
    (bundle / "sbom.json").unlink()
    sign_with_the_library(bundle, keys.private)
    refused(bundle, keys.public, MalformedBundle, r"lacks sbom\.json")


def test_a_stranger_signed_by_another_tool(bundle, keys):
    (bundle / "notes.txt").write_text("x")
    sign_with_the_library(bundle, keys.private)
    refused(bundle, keys.public, MalformedBundle, r"notes\.txt")


# 6. The verdict passed


def test_a_failed_verdict_signed_with_the_right_key(tmp_path, keys):
    bundle = make_bundle(tmp_path, keys.private, recall=0.1)
    error = refused(bundle, keys.public, GateNotPassed, "0.1 is below 0.9")
    assert [failure.metric for failure in error.failures] == ["recall"]


def test_a_failed_verdict_painted_over_and_signed_again(tmp_path, keys, resign):
    bundle = make_bundle(tmp_path, keys.private, recall=0.1)
    verdict = json.loads((bundle / "gate.json").read_bytes())
    verdict["passed"] = True
    (bundle / "gate.json").write_text(json.dumps(verdict))
    resign(bundle)
    refused(bundle, keys.public, MalformedBundle, "no verdict")


# 7. and names this very model


def test_a_verdict_copied_from_another_model_and_signed_again(bundle, keys, resign, tmp_path):
    better = make_bundle(tmp_path / "better", keys.private, weights=[9, 9])
    shutil.copy(better / "gate.json", bundle / "gate.json")
    resign(bundle)
    error = refused(bundle, keys.public, VerdictMismatch)
    assert error.judged == model_digest(better) and error.found == model_digest(bundle)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("weights.safetensors", safetensors([1, 2, 3, 5])),
        ("preprocess.json", b'{"kind": "svm", "threshold": 0.99}'),
        ("card.json", b"{}"),
        ("tokenizer.json", b'{"a": 1}'),
    ],
)
def test_a_model_changed_after_it_was_judged_and_signed_again(bundle, keys, resign, name, data):
    (bundle / name).write_bytes(data)
    resign(bundle)
    refused(bundle, keys.public, VerdictMismatch)


def test_a_model_file_added_after_the_verdict_and_signed_again(tmp_path, keys, resign):
    model = make_model(tmp_path / "model")
    (model / "tokenizer.json").unlink()
    verdict = verdict_on(model_digest(model))
    bundle = assemble(model, tmp_path / "bundle", verdict=verdict, provenance=PROVENANCE)
    (bundle / "tokenizer.json").write_text("{}")
    resign(bundle)
    refused(bundle, keys.public, VerdictMismatch)


def test_a_failed_verdict_about_another_model_fails_as_failed(tmp_path, keys, resign):
    bundle = make_bundle(tmp_path, keys.private)
    failed = verdict_on("sha256:" + "0" * 64, recall=0.1)
    (bundle / "gate.json").write_text(failed.model_dump_json())
    resign(bundle)
    refused(bundle, keys.public, GateNotPassed)


# Between verifying and reading


@pytest.mark.parametrize(
    "swap",
    [
        pytest.param(lambda path: path.write_bytes(safetensors([6, 6, 6, 6])), id="rewritten in place"),
        pytest.param(lambda path: (path.unlink(), path.write_bytes(safetensors([6]))), id="replaced"),
    ],
)
def test_a_file_swapped_after_loading(bundle, keys, swap):
    loaded = load(bundle, keys.public)
    swap(bundle / "weights.safetensors")
    with pytest.raises(SignatureInvalid, match="was changed"):
        loaded.read_bytes("weights.safetensors")
    with pytest.raises(SignatureInvalid):
        loaded.model_files()


def test_a_file_replaced_by_a_link_or_removed_after_loading(bundle, keys, tmp_path):
    loaded = load(bundle, keys.public)
    (tmp_path / "same").write_bytes((bundle / "weights.safetensors").read_bytes())
    (bundle / "weights.safetensors").unlink()
    with pytest.raises(MalformedBundle, match="gone"):
        loaded.read_bytes("weights.safetensors")
    (bundle / "weights.safetensors").symlink_to(tmp_path / "same")
    with pytest.raises(ForbiddenFile):
        loaded.read_bytes("weights.safetensors")


def test_records_read_at_loading_do_not_change_afterwards(bundle, keys):
    loaded = load(bundle, keys.public)
    (bundle / "preprocess.json").write_text('{"kind": "evil"}')
    (bundle / "gate.json").write_text("{}")
    assert loaded.preprocess["kind"] == "svm" and loaded.verdict.passed


def test_a_file_swapped_while_it_is_verified(bundle, keys, monkeypatch):
    """The last moment before a file's content is used: right after model-signing hashed the folder."""
    import secmlops.bundle.signature as signature

    check = signature._check_with_model_signing

    def check_then_swap(folder, data, key):
        check(folder, data, key)
        (folder / "gate.json").write_text(verdict_on("sha256:" + "0" * 64).model_dump_json())

    monkeypatch.setattr(signature, "_check_with_model_signing", check_then_swap)
    with pytest.raises(SignatureInvalid, match=r"gate\.json"):
        verify(bundle, keys.public)


def test_only_signed_names_can_be_read(pristine, keys):
    loaded = load(pristine, keys.public)
    for name in ("model.sig", "../model/card.json", "/etc/passwd", "", "nothing.json"):
        with pytest.raises(MalformedBundle, match="has no file"):
            loaded.read_bytes(name)


def test_every_check_is_made_each_time(bundle, keys):
    assert load(bundle, keys.public).verdict.passed
    (bundle / "card.json").write_text("{}")
    refused(bundle, keys.public, SignatureInvalid)


@settings(max_examples=60)
@given(
    name=st.sampled_from(ALL_FILES),
    position=st.floats(0, 1, exclude_max=True),
    change=st.sampled_from(["set", "insert", "delete", "cut"]),
    value=st.integers(0, 255),
)
def test_no_change_of_any_file_gets_through(tmp_path_factory, pristine, keys, name, position, change, value):
    bundle = shutil.copytree(pristine, tmp_path_factory.mktemp("fuzz") / "bundle")
    before = (bundle / name).read_bytes()
    at = int(position * len(before))
    after = {
        "set": before[:at] + bytes([value]) + before[at + 1 :],
        "insert": before[:at] + bytes([value]) + before[at:],
        "delete": before[:at] + before[at + 1 :],
        "cut": before[:at],
    }[change]
    if after == before:
        return
    (bundle / name).write_bytes(after)
    with pytest.raises((SignatureInvalid, ForbiddenFile)):
        load(bundle, keys.public)


def test_stronger_curves_work_too(tmp_path):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    for curve in (ec.SECP384R1(), ec.SECP521R1()):
        folder = tmp_path / curve.name
        folder.mkdir()
        key = ec.generate_private_key(curve)
        (folder / "key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        (folder / "key.pub").write_bytes(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        bundle = make_bundle(folder, folder / "key")
        assert verify(bundle, folder / "key.pub").verdict.passed
        (bundle / "card.json").write_text("{}")
        refused(bundle, folder / "key.pub", SignatureInvalid)


def trusted_name(keys) -> str:
    return fingerprint(load_public_key(keys.public))


def replace_in_signature(bundle: Path, old: str, new: str) -> None:
    text = (bundle / "model.sig").read_text()
    assert old in text
    (bundle / "model.sig").write_text(text.replace(old, new))


def sign_with_the_library(bundle: Path, key: Path) -> None:
    """Sign as anyone with the key could, without the checks of `secmlops.bundle.sign`."""
    from model_signing import hashing, signing

    (bundle / "model.sig").unlink(missing_ok=True)
    hashes = hashing.Config().set_ignored_paths(paths=["model.sig"])
    config = signing.Config().use_elliptic_key_signer(private_key=key)
    config.set_hashing_config(hashes).sign(bundle, bundle / "model.sig")


def test_a_new_key_pair_does_not_verify_old_bundles(pristine, tmp_path):
    _, public = keygen(tmp_path / "rotated")
    refused(pristine, public, UntrustedKey)
