"""The `secmlops` command as a user types it: real processes, real files."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from secmlops.web_attacks import jsonl, lab, readers

REFUSED = 3


def secmlops(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "secmlops.cli", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=1200, check=False)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """Keys, a capture, labelled requests, a lenient policy, and a bundle trained on them."""
    folder = tmp_path_factory.mktemp("cli")
    capture = folder / "lab.pcap"
    lab.record(capture, normal=500, attacks=250, seed=5)
    with (folder / "labelled.jsonl").open("w") as file:
        for record in lab.labelled(readers.read(capture), lab.labels_path(capture)):
            labels = {"label": record.label, "attack_class": record.attack_class, "site": record.site}
            file.write(json.dumps({**jsonl.to_json(record.request), **labels}) + "\n")
        file.write('{"label": "attack", "reviewed": false, "method": "GET", "url": "/?q=1%27%20or%201=1--"}\n')
        file.write("this is no request\n")
    (folder / "policy.yaml").write_text(
        "name: lenient\nversion: 1.0.0\nuse_case: web_attacks\n"
        "operating_point: {max_false_positive_rate: 0.01}\n"
        "requirements:\n"
        "  - {metric: balanced_accuracy, at_least: 0.6, why: a test, risk: none, mitigation: AML.M0008}\n"
    )
    assert secmlops("keygen", "--out", folder / "key").returncode == 0
    trained = secmlops(
        *("web-attacks", "train", "--data", folder / "labelled.jsonl", "--out", folder / "bundle"),
        *("--signing-key", folder / "key", "--policy", folder / "policy.yaml"),
        *("--quarantine", folder / "refused.jsonl"),
    )
    assert trained.returncode == 0, trained.stderr.decode()
    (folder / "train.stderr").write_bytes(trained.stderr)
    return folder


def test_keygen_keeps_the_private_key_private(workplace):
    assert stat.S_IMODE(os.stat(workplace / "key").st_mode) == 0o600
    assert b"PUBLIC KEY" in (workplace / "key.pub").read_bytes()


def test_keygen_never_overwrites_a_key(workplace):
    before = (workplace / "key").read_bytes()
    assert secmlops("keygen", "--out", workplace / "key").returncode == 1
    assert (workplace / "key").read_bytes() == before


def test_training_leaves_out_what_it_cannot_read_and_says_so(workplace):
    (refused,) = [json.loads(line) for line in (workplace / "refused.jsonl").read_text().splitlines()]
    assert refused["data"].startswith("this is no request")
    assert refused["reason"]


def test_training_writes_reports(workplace):
    assert "may be served" in (workplace / "bundle.html").read_text()
    assurance = (workplace / "bundle.assurance.html").read_text()
    for step in ("check_poisoning", "train_classifier-svm", "judge_models", "sign_bundle"):
        assert step in assurance
    assert (workplace / "bundle.suspects.html").exists()


def test_training_learns_from_what_the_poisoning_check_left(workplace):
    statement = json.loads((workplace / "bundle" / "provenance.json").read_text())
    materials = {item["name"] for item in statement["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert {"train", "train_sanitized", "validation", "test"} <= materials


def test_training_leaves_out_unreviewed_labels_and_says_so(workplace):
    assert b"labels that nobody reviewed, left out: 1\n" in (workplace / "train.stderr").read_bytes()


def test_training_on_unreviewed_labels_alone_is_refused_unless_asked_for(workplace, tmp_path):
    row = json.loads((workplace / "labelled.jsonl").read_text().splitlines()[0])
    (tmp_path / "unreviewed.jsonl").write_text(json.dumps({**row, "reviewed": False}) + "\n")
    command = ("web-attacks", "train", "--data", tmp_path / "unreviewed.jsonl", "--out", tmp_path / "bundle")
    command += ("--signing-key", workplace / "key", "--policy", workplace / "policy.yaml")
    refused, taken = secmlops(*command), secmlops(*command, "--include-unreviewed")
    assert refused.returncode == taken.returncode == 1
    assert b"--include-unreviewed" in refused.stderr
    assert b"--include-unreviewed" not in taken.stderr  # it is refused for being one row
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("content", [None, "no key", "public"])
def test_a_wrong_signing_key_is_noticed_before_any_work(workplace, tmp_path, content):
    key = tmp_path / "key"
    if content is not None:
        key.write_text((workplace / "key.pub").read_text() if content == "public" else content)
    done = secmlops(
        *("web-attacks", "train", "--data", workplace / "labelled.jsonl", "--out", tmp_path / "bundle"),
        *("--signing-key", key, "--policy", workplace / "policy.yaml"),
    )
    assert done.returncode == 1
    assert b"key" in done.stderr
    assert done.stdout == b""  # no step had anything to say
    assert not (tmp_path / "bundle").exists()


def test_verify_says_ok(workplace):
    done = secmlops("verify", workplace / "bundle", "--trusted-key", workplace / "key.pub")
    assert (done.returncode, done.stdout[:10]) == (0, b"ok sha256:")


def test_verify_refuses_a_bundle_of_another_key(workplace):
    secmlops("keygen", "--out", workplace / "other")
    done = secmlops("verify", workplace / "bundle", "--trusted-key", workplace / "other.pub")
    assert done.returncode == REFUSED
    assert done.stderr.startswith(b"error: ")
    assert b"Traceback" not in done.stderr


def test_read_writes_one_object_a_request_and_counts(workplace):
    done = secmlops("web-attacks", "read", workplace / "lab.pcap")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 750
    expected = {"time", "src", "dst", "method", "host", "uri", "version", "headers", "body"}
    assert all(row.keys() == expected for row in rows)
    assert b"750 requests read" in done.stderr


def test_read_takes_a_capture_from_standard_input(workplace):
    capture = (workplace / "lab.pcap").read_bytes()
    assert len(secmlops("web-attacks", "read", "-", stdin=capture).stdout.splitlines()) == 750


def test_read_quarantines_a_broken_capture(workplace):
    broken = (workplace / "lab.pcap").read_bytes()[:5_001]
    done = secmlops("web-attacks", "read", "-", "--quarantine", workplace / "broken.jsonl", stdin=broken)
    assert done.returncode == 0
    kept = [json.loads(line) for line in (workplace / "broken.jsonl").read_text().splitlines()]
    assert kept
    assert all({"source", "offset", "reason", "detail", "data"} <= row.keys() for row in kept)


def test_read_says_which_file_is_missing(workplace):
    done = secmlops("web-attacks", "read", workplace / "nothing.pcap")
    assert done.returncode == 1
    assert b"nothing.pcap" in done.stderr
    assert b"Traceback" not in done.stderr


def test_score_answers_every_line_in_order_and_marks_the_unreadable(workplace):
    lines = [
        b'{"method": "GET", "uri": "/catalogue?page=2", "headers": {"User-Agent": "Mozilla/5.0"}}',
        b"not json",
        b'{"method": "GET", "url": "/search?q=1%27%20UNION%20SELECT%20password%20FROM%20users--%20", "headers": []}',
        b'{"raw": "GET /a?f=../../../../etc/passwd HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"}',
        b'{"method": "GET", "uri": "\\ud800"}',
        b"[" * 100_000,
    ]
    done = secmlops(
        *("web-attacks", "score", "--bundle", workplace / "bundle", "--trusted-key", workplace / "key.pub"),
        stdin=b"\n".join(lines) + b"\n",
    )
    assert done.returncode == 0, done.stderr.decode()
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(lines)
    assert [answer.get("verdict", "error") for answer in answers] == [
        "normal",
        "error",
        "attack",
        "attack",
        "error",
        "error",
    ]
    assert answers[2]["attack_class"] == "sqli"
    assert answers[2]["reason"].startswith("query:q: ")
    assert all(0 <= answer["score"] <= 1 for answer in answers if "score" in answer)


def test_score_refuses_an_unverified_bundle(workplace, tmp_path):
    weights = workplace / "bundle" / "weights.safetensors"
    tampered = tmp_path / "bundle"
    tampered.mkdir()
    for file in (workplace / "bundle").iterdir():
        data = file.read_bytes()
        (tampered / file.name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if file.name == weights.name else data)
    done = secmlops(
        *("web-attacks", "score", "--bundle", tampered, "--trusted-key", workplace / "key.pub"), stdin=b"{}\n"
    )
    assert done.returncode == REFUSED
    assert done.stdout == b""


def test_a_model_that_fails_the_gate_is_kept_for_study_and_refused(workplace, tmp_path):
    policy = (workplace / "policy.yaml").read_text().replace("at_least: 0.6", "at_least: 1.01")
    (tmp_path / "impossible.yaml").write_text(policy)
    trained = secmlops(
        *("web-attacks", "train", "--data", workplace / "labelled.jsonl", "--out", tmp_path / "bundle"),
        *("--signing-key", workplace / "key", "--policy", tmp_path / "impossible.yaml", "--mutated-copies", 4),
    )
    assert trained.returncode == REFUSED
    assert b"balanced_accuracy" in trained.stderr
    assert (tmp_path / "bundle" / "model.sig").exists()
    assert secmlops("verify", tmp_path / "bundle", "--trusted-key", workplace / "key.pub").returncode == REFUSED


@pytest.mark.parametrize("command", [[], ["keygen"], ["verify"], ["web-attacks"], ["web-attacks", "train"]])
def test_help_everywhere(command):
    done = secmlops(*command, "--help")
    assert done.returncode == 0
    assert b"Usage" in done.stdout


def test_wrong_usage_exits_with_2():
    assert secmlops("web-attacks", "train").returncode == 2
