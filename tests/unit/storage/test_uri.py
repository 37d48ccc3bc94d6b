"""URIs: what they mean, what is refused, and that no credential is ever repeated."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secmlops.storage.uri import (
    ChdbUri,
    ClickHouseUri,
    CredentialInUri,
    InvalidUri,
    PathUri,
    S3Uri,
    UnknownScheme,
    check_key,
    parse_uri,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data.parquet", PathUri(Path("data.parquet"))),
        ("/a/b c/ü#?.csv", PathUri(Path("/a/b c/ü#?.csv"))),
        ("2024:01/file", PathUri(Path("2024:01/file"))),
        (Path("x/y"), PathUri(Path("x/y"))),
        ("file:///a/b", PathUri(Path("/a/b"))),
        ("file://localhost/a/b", PathUri(Path("/a/b"))),
        ("FILE:///a%20b%23", PathUri(Path("/a b#"))),
        ("s3://bucket/key", S3Uri("bucket", "key")),
        ("s3://my.bucket-1/a/b?c#d%20e", S3Uri("my.bucket-1", "a/b?c#d%20e")),
        ("s3://bucket", S3Uri("bucket", "")),
        ("s3://bucket/", S3Uri("bucket", "")),
        ("s3://bucket/models/v1/", S3Uri("bucket", "models/v1")),
        ("clickhouse://db.example", ClickHouseUri("db.example", 8443, "default", "default", True)),
        ("clickhouse://me@db:9000/traffic", ClickHouseUri("db", 9000, "me", "traffic", True)),
        ("clickhouse://db/x?secure=true", ClickHouseUri("db", 8443, "default", "x", True)),
        ("clickhouse://127.0.0.1/x?secure=false", ClickHouseUri("127.0.0.1", 8123, "default", "x", False)),
        ("clickhouse://u@[::1]:8123/x?secure=false", ClickHouseUri("::1", 8123, "u", "x", False)),
        ("chdb:///var/lib/db", ChdbUri(Path("/var/lib/db"))),
        ("chdb://./runs/db", ChdbUri(Path("runs/db"))),
    ],
)
def test_forms(text, expected):
    assert parse_uri(text) == expected
    assert parse_uri(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "empty", id="empty"),
        pytest.param("   ", "empty", id="blank"),
        pytest.param("a\0b", "control", id="NUL in a path"),
        pytest.param("s3://bucket/a\nb", "control", id="newline in a key"),
        pytest.param("x" * 5000, "longer", id="too long"),
        pytest.param("s3://", "bucket", id="no bucket"),
        pytest.param("s3://b/key", "bucket", id="bucket too short"),
        pytest.param("s3://Bucket/key", "bucket", id="bucket in capitals"),
        pytest.param("s3://a..b/key", "bucket", id="bucket with two dots"),
        pytest.param("s3://bucket/../other", "segments", id="key climbs"),
        pytest.param("s3://bucket/a/./b", "segments", id="key with a dot"),
        pytest.param("s3://bucket//a", "segments", id="key starts with a slash"),
        pytest.param("s3://bucket/a//b", "segments", id="empty segment"),
        pytest.param("s3://bucket/a\\..\\b", "backslash", id="backslashes"),
        pytest.param("s3://bucket/" + "é" * 600, "longer", id="key over 1,024 bytes"),
        pytest.param("file://server/share", "another machine", id="file of another machine"),
        pytest.param("file://", "names no folder", id="file without path"),
        pytest.param("file:///a?b", "%3F", id="query on a file"),
        pytest.param("file:///a%00b", "names no folder", id="encoded NUL"),
        pytest.param("chdb://", "names no folder", id="chdb without folder"),
        pytest.param("chdb://folder/x", "chdb:///absolute", id="chdb folder where a host stands"),
        pytest.param("clickhouse://", "no host", id="no host"),
        pytest.param("clickhouse:///db", "no host", id="only a database"),
        pytest.param("clickhouse://h:99999/db", "port", id="port too large"),
        pytest.param("clickhouse://h:0/db", "port 0", id="port zero"),
        pytest.param("clickhouse://h:x/db", "port", id="port of letters"),
        pytest.param("clickhouse://h/db/more", "letters", id="two databases"),
        pytest.param("clickhouse://h/db;drop", "letters", id="SQL in the database's name"),
        pytest.param("clickhouse://h/db?secure=no", "only option", id="option value"),
        pytest.param("clickhouse://h/db?secure=false&secure=true", "only option", id="option twice"),
        pytest.param("clickhouse://h/db?verify=false", "only option", id="unknown option"),
        pytest.param("clickhouse://[::1/db", "host or port", id="open bracket"),
        pytest.param("clickhouse://h/db#x", "'#'", id="fragment"),
    ],
)
def test_refused(text, reason):
    with pytest.raises(InvalidUri, match=reason):
        parse_uri(text)


@pytest.mark.parametrize("text", ["http://host/x", "gs://bucket/x", "minio://bucket/x", "HDFS://n/x"])
def test_unknown_schemes_are_named(text):
    with pytest.raises(UnknownScheme) as caught:
        parse_uri(text)
    assert caught.value.scheme == text.partition(":")[0].lower()


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        ("clickhouse://me:hunter2@h/db", "CLICKHOUSE_PASSWORD"),
        ("clickhouse://me:@h/db", "CLICKHOUSE_PASSWORD"),
        ("clickhouse://h/db?password=hunter2", "CLICKHOUSE_PASSWORD"),
        ("s3://AKIA:hunter2@bucket/key", "AWS_SECRET_ACCESS_KEY"),
        ("chdb://me:hunter2@/x", "no credentials"),
        ("file://me:hunter2@localhost/x", "no credentials"),
    ],
)
def test_credentials_are_refused_and_not_repeated(text, variable):
    with pytest.raises(CredentialInUri, match=variable) as caught:
        parse_uri(text)
    assert "hunter2" not in str(caught.value) + caught.value.uri


@pytest.mark.parametrize("text", ["http://me:hunter2@h/x", "gs://hunter2@b/x", "clickhouse://me:hunter2@h:bad/x"])
def test_other_errors_do_not_repeat_credentials_either(text):
    with pytest.raises(InvalidUri) as caught:
        parse_uri(text)
    assert "hunter2" not in str(caught.value) + caught.value.uri


PREFIXES = st.sampled_from(
    ["", "s3://", "clickhouse://", "chdb://", "file://", "s3://bucket/", "clickhouse://h/", "x://"]
)


@given(prefix=PREFIXES, rest=st.text(max_size=60))
def test_any_text_parses_or_raises_the_named_error_and_round_trips(prefix, rest):
    try:
        uri = parse_uri(prefix + rest)
    except InvalidUri:
        return
    if not isinstance(uri, PathUri):
        assert parse_uri(str(uri)) == uri
    if isinstance(uri, S3Uri) and uri.key:
        assert check_key(uri.key) is None


@given(st.text(max_size=40))
def test_a_safe_key_stays_below_its_folder(key):
    if check_key(key) is None:
        root = Path("/root/folder")
        assert (root / key).resolve().is_relative_to(root)
