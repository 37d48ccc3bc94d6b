"""A server whose bundle cannot be trusted is not ready, says why in its log and to nobody else, and stays up."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client import REGISTRY

from secmlops.bundle import keygen, sign
from serving.limits import Limits
from serving.web_attacks import WebAttacks
from tests.serving.conftest import NAME, StartServer, Workshop

Break = Callable[[Path, Workshop, Path], Path | None]


def flip_a_byte(bundle: Path, workshop: Workshop, tmp_path: Path) -> None:
    """Tampering: the weights are not what was signed."""
    weights = bundle / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))


def sign_with_another_key(bundle: Path, workshop: Workshop, tmp_path: Path) -> None:
    """An insider or thief with a key of their own."""
    stranger, _ = keygen(tmp_path / "stranger")
    sign(bundle, stranger)


def fail_the_gate(bundle: Path, workshop: Workshop, tmp_path: Path) -> None:
    """A rejected model, signed by mistake."""
    shutil.rmtree(bundle)
    workshop.make(bundle, workshop.verdict(recall=0.1))


def copy_a_verdict(bundle: Path, workshop: Workshop, tmp_path: Path) -> None:
    """A model that nobody judged, under the verdict of one that passed; signed again."""
    card = bundle / "card.json"
    card.write_bytes(card.read_bytes() + b"\n")
    sign(bundle, workshop.private_key)


def add_a_pickle(bundle: Path, workshop: Workshop, tmp_path: Path) -> None:
    """Code that would run when opened."""
    (bundle / "extra.pkl").write_bytes(b"\x80\x04K\x01.")


def hide_a_pickle(bundle: Path, workshop: Workshop, tmp_path: Path) -> None:
    """The same under the name of a file that is allowed."""
    (bundle / "weights.safetensors").write_bytes(b"\x80\x04K\x01.")


def judge_for_another_use_case(bundle: Path, workshop: Workshop, tmp_path: Path) -> None:
    """A sound model of this kind, judged by the policy of something else."""
    shutil.rmtree(bundle)
    workshop.make(bundle, workshop.verdict().model_copy(update={"use_case": "digits"}))


def lose_the_signature(bundle: Path, workshop: Workshop, tmp_path: Path) -> None:
    """Never signed."""
    (bundle / "model.sig").unlink()


def lose_the_bundle(bundle: Path, workshop: Workshop, tmp_path: Path) -> None:
    """Nothing is mounted there."""
    shutil.rmtree(bundle)


REFUSED = [
    (flip_a_byte, "SignatureInvalid"),
    (sign_with_another_key, "UntrustedKey"),
    (fail_the_gate, "GateNotPassed"),
    (copy_a_verdict, "VerdictMismatch"),
    (add_a_pickle, "ForbiddenFile"),
    (hide_a_pickle, "ForbiddenFile"),
    (judge_for_another_use_case, "WrongUseCase"),
    (lose_the_signature, "MissingSignature"),
    (lose_the_bundle, "MalformedBundle"),
]


@pytest.mark.parametrize(("break_it", "error"), REFUSED, ids=[break_it.__name__ for break_it, _ in REFUSED])
def test_what_cannot_be_trusted_is_not_loaded(break_it, error, bundle_copy, workshop, tmp_path, caplog):
    break_it(bundle_copy, workshop, tmp_path)
    model = WebAttacks(NAME, bundle_copy, workshop.trusted_key, Limits())
    with caplog.at_level(logging.ERROR, logger="kserve"):
        assert not model.load()
    assert not model.ready
    assert error in caplog.text
    assert not hasattr(model, "_classifier")
    assert REGISTRY.get_sample_value("secmlops_web_attacks_model_ready", {"model_name": NAME}) == 0
    model.start()
    assert not model.ready, "KServe calls start() on every model; it must not make one ready"
    model.stop()


def test_the_trusted_key_must_be_there(bundle, tmp_path, caplog):
    model = WebAttacks(NAME, bundle, tmp_path / "none.pub", Limits())
    with caplog.at_level(logging.ERROR, logger="kserve"):
        assert not model.load()
    assert "MissingKey" in caplog.text
    model.stop()


def test_a_server_without_a_trusted_model_stays_up_and_says_503(
    bundle_copy: Path, workshop: Workshop, start_server: StartServer
):
    flip_a_byte(bundle_copy, workshop, bundle_copy)
    server = start_server(bundle_copy, workshop.trusted_key)
    answers = [
        httpx.get(f"{server.url}/v2/models/{NAME}/ready"),
        httpx.get(f"{server.url}/v2/health/ready"),
        httpx.get(f"{server.url}/v1/models/{NAME}"),
        httpx.post(f"{server.url}/v1/models/{NAME}:predict", json={"instances": [{"uri": "/"}]}),
        httpx.post(f"{server.url}/v2/models/{NAME}/infer", json={"inputs": []}),
    ]
    assert [answer.status_code for answer in answers] == [503] * 5
    for answer in answers:
        assert set(answer.json()) == {"error", "reason", "id"}
        assert "Signature" not in answer.text
        assert str(bundle_copy) not in answer.text
    assert httpx.get(f"{server.url}/v2/health/live").json() == {"live": True}
    assert "SignatureInvalid" in server.log_text
    assert f'secmlops_web_attacks_model_ready{{model_name="{NAME}"}} 0.0' in httpx.get(f"{server.url}/metrics").text
    assert server.stop() == 0
