"""Settings are read strictly, and neither settings nor tokens are optional."""

import os
import re
import subprocess
import sys

import pytest
import yaml

from serving.retrain.bearer import BearerToken, MissingToken
from serving.retrain.outcomes import Outcome
from serving.retrain.settings import RetrainUseCase, SettingsInvalid, load_settings
from tests.conftest import ROOT
from tests.manifests.processes import program
from tests.serving.retrain.conftest import TOKEN, USE_CASE


def write(path, **changes):
    use_case = {key: value for key, value in (USE_CASE | changes).items() if value is not None}
    path.write_text(yaml.safe_dump({"use_cases": {"web_attacks": use_case}}))
    return path


def test_they_are_read(tmp_path):
    settings = load_settings(write(tmp_path / "retrain.yaml"))
    assert settings.use_cases["web_attacks"].parameters("shop/web-attacks") == {
        "seed": "7",
        "captures": "s3://windows/shop/web-attacks",
    }


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        pytest.param({"cooldown_s": 0}, "cooldown_s", id="no cool-down"),
        pytest.param({"cooldown_s": float("nan")}, "cooldown_s", id="NaN"),
        pytest.param({"cooldowns": 5}, "cooldowns", id="unknown key"),
        pytest.param({"services": []}, "services", id="no service"),
        pytest.param({"services": ["*/web-attacks"]}, "services", id="wildcard"),
        pytest.param({"pipeline": "../x"}, "pipeline", id="a path for a pipeline"),
        pytest.param({"pipeline": "--out"}, "pipeline", id="an option for a pipeline"),
        pytest.param({"data_parameter": "-x"}, "data_parameter", id="an option for a parameter"),
        pytest.param({"data_uri": None}, "data_uri", id="no data"),
        pytest.param({"data_uri": "s3://{bucket}"}, "bucket", id="a place that nothing fills"),
        pytest.param({"arguments": {"seed": "1\n--out=/"}}, "arguments", id="a line break"),
        pytest.param({"arguments": {"seed": 7}}, "arguments", id="a number where the runner takes words"),
        pytest.param({"flap_limit": 0}, "flap_limit", id="flapping from the first time"),
    ],
)
def test_what_cannot_be_followed(tmp_path, changes, named):
    with pytest.raises(SettingsInvalid, match=named):
        load_settings(write(tmp_path / "retrain.yaml", **changes))


@pytest.mark.parametrize("content", [b"", b"use_cases: {}", b"- x", b"a: [", b"\xff", b"!!python/object:os.system x"])
def test_what_is_no_settings_file(tmp_path, content):
    (tmp_path / "retrain.yaml").write_bytes(content)
    with pytest.raises(SettingsInvalid):
        load_settings(tmp_path / "retrain.yaml")
    with pytest.raises(SettingsInvalid, match="cannot be read"):
        load_settings(tmp_path / "absent.yaml")


def test_places_are_filled_without_a_template_language():
    use_case = RetrainUseCase.model_validate(USE_CASE | {"data_uri": "file:///w/{service}/{namespace}"})
    assert use_case.parameters("shop/web-attacks")["captures"] == "file:///w/web-attacks/shop"


def test_a_token_from_a_file_or_the_environment(tmp_path, monkeypatch):
    (tmp_path / "token").write_text(TOKEN + "\n")
    monkeypatch.setenv("TOKEN", TOKEN)
    for source in (str(tmp_path / "token"), "env:TOKEN"):
        token = BearerToken(source)
        assert token.admits(f"Bearer {TOKEN}") and token.admits(f"bearer {TOKEN}")
        assert not token.admits(TOKEN) and not token.admits("") and not token.admits(f"Bearer  {TOKEN}")
        assert TOKEN not in str(vars(token))


@pytest.mark.parametrize("content", ["", "short", " " * 64])
def test_no_token_worth_the_name(tmp_path, content):
    (tmp_path / "token").write_text(content)
    with pytest.raises(MissingToken, match="does not start without one"):
        BearerToken(str(tmp_path / "token"))


@pytest.mark.parametrize(
    ("token", "said"),
    [("env:NO_SUCH_VARIABLE", "NO_SUCH_VARIABLE"), ("absent.txt", "absent.txt"), ("env:SHORT", "fewer than 32")],
)
def test_the_service_refuses_to_start_without_a_token(tmp_path, token, said):
    command = [sys.executable, "-m", "serving.retrain", "--settings", str(write(tmp_path / "retrain.yaml"))]
    command += ["--audit_log", str(tmp_path / "audit.jsonl"), "--runs", str(tmp_path / "runs"), "--token", token]
    ended = subprocess.run(
        [*command, "--host=127.0.0.1", "--http_port=0"],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"SHORT": "x" * 31},
        cwd=tmp_path,
    )
    assert ended.returncode == 2
    assert said in ended.stderr and "Traceback" not in ended.stderr
    assert not (tmp_path / "audit.jsonl").exists()


GUIDE = (ROOT / "docs" / "monitoring.md").read_text()


def test_the_guides_settings_are_settings_and_it_names_every_outcome(tmp_path):
    settings, _ = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    (tmp_path / "retrain.yaml").write_text(settings)
    assert load_settings(tmp_path / "retrain.yaml").use_cases["web_attacks"].services == ("secmlops/web-attacks",)
    assert all(f"`{outcome.value}`" in GUIDE for outcome in Outcome if outcome is not Outcome.STARTED)


def test_the_guides_alertmanager_configuration_is_one(tmp_path):
    _, configuration = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    (tmp_path / "alertmanager.yml").write_text(configuration)
    checked = subprocess.run(
        [program("amtool"), "check-config", str(tmp_path / "alertmanager.yml")], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
