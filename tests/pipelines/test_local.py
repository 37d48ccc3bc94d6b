"""What a local run settles before any step runs: keys, and the folder of the demonstration."""

import os
from types import SimpleNamespace

import pytest

from pipelines.demo import FolderInUse, make_anew
from pipelines.local import with_local_defaults
from secmlops.bundle import InvalidKey, MissingKey, keygen

PIPELINE = SimpleNamespace(component_spec=SimpleNamespace(inputs={"warehouse": None, "publish_to": None}))
KEYS = ("SECMLOPS_SIGNING_KEY", "SECMLOPS_TRUSTED_KEY")


@pytest.fixture
def environment(monkeypatch):
    """The environment without keys; whatever a test sets is taken back."""
    for name in KEYS:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


def test_without_keys_a_pair_is_made_and_named(environment, tmp_path):
    chosen = with_local_defaults(PIPELINE, {"publish_to": "elsewhere"}, tmp_path)
    assert chosen == {"warehouse": f"chdb://{tmp_path / 'warehouse'}", "publish_to": "elsewhere"}
    assert [os.environ[name] for name in KEYS] == [str(tmp_path / "keys" / name) for name in ("signing", "signing.pub")]


def test_the_keys_of_the_environment_are_used(environment, tmp_path):
    private, public = keygen(tmp_path / "own")
    environment.setenv(KEYS[0], str(private))
    environment.setenv(KEYS[1], public.read_text())
    with_local_defaults(PIPELINE, {}, tmp_path / "run")
    assert (os.environ[KEYS[0]], os.environ[KEYS[1]]) == (str(private), public.read_text())
    assert not (tmp_path / "run" / "keys").exists()


@pytest.mark.parametrize("given", KEYS)
def test_one_key_alone_is_refused_before_any_step(environment, tmp_path, given):
    pair = keygen(tmp_path / "own")
    environment.setenv(given, str(pair[KEYS.index(given)]))
    with pytest.raises(MissingKey) as refused:
        with_local_defaults(PIPELINE, {}, tmp_path / "run")
    (other,) = set(KEYS) - {given}
    assert other in str(refused.value)


def test_keys_that_are_no_pair_are_refused_before_any_step(environment, tmp_path):
    environment.setenv(KEYS[0], str(keygen(tmp_path / "one")[0]))
    environment.setenv(KEYS[1], str(keygen(tmp_path / "two")[1]))
    with pytest.raises(InvalidKey, match="public half"):
        with_local_defaults(PIPELINE, {}, tmp_path / "run")


def test_the_demonstration_empties_only_what_it_made(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(FolderInUse):
        make_anew(tmp_path / "mine")
    with pytest.raises(FolderInUse):
        make_anew(tmp_path / "mine" / "thesis.txt")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_the_demonstration_makes_its_own_folder_anew(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "deep" / "demo"):
        make_anew(folder)
        (folder / "server.log").write_text("of the first time")
        make_anew(folder)
        assert not (folder / "server.log").exists()
