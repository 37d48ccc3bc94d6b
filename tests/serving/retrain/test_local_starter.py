"""Real processes: what they are given, how they end, and how they are found again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.retrain.local_starter import LocalStarter
from serving.retrain.starters import Order, RunState, StartFailed

SCRIPT = """
import json, os, pathlib, sys, time
arguments = sys.argv[1:]
out = pathlib.Path(arguments[arguments.index("--out") + 1])
out.mkdir(parents=True)
(out / "seen.json").write_text(json.dumps([arguments, dict(os.environ), os.getcwd()]))
wish = dict(word.partition("=")[::2] for word in arguments if "=" in word)
time.sleep(float(wish["sleep"]))
sys.exit(int(wish["exit"]))
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "runner.py").write_text(SCRIPT)
    return tmp_path


def starter_in(folder: Path, **keywords) -> LocalStarter:
    return LocalStarter(folder / "runs", command=(sys.executable, str(folder / "runner.py")), **keywords)


def order(**parameters: str) -> Order:
    return Order("retrain-web-attacks-1", "web_attacks", "web_attacks", {"sleep": "0", "exit": "0"} | parameters)


def until(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.02)


@pytest.mark.parametrize(("status", "state"), [("0", RunState.SUCCEEDED), ("1", RunState.FAILED)])
def test_the_exit_status_says_how_it_ended(folder, status, state):
    starter = starter_in(folder)
    run_id = starter.start(order(exit=status))
    until(lambda: starter.state(run_id) is not RunState.RUNNING)
    assert starter.state(run_id) is state


def test_words_go_to_the_runner_as_they_are_and_the_token_stays_here(folder, monkeypatch):
    monkeypatch.setenv("RETRAIN_TOKEN", "secret")
    monkeypatch.setenv("SECMLOPS_SIGNING_KEY", "a-key")
    starter = starter_in(folder, hidden=["RETRAIN_TOKEN"])
    hostile = "s3://x/$(touch pwned); `id` && 'quoted' \"too\""
    run_id = starter.start(order(captures=hostile))
    until(lambda: starter.state(run_id) is not RunState.RUNNING)

    arguments, environment, where = json.loads((folder / "runs" / run_id / "run" / "seen.json").read_text())
    assert arguments[:2] == ["run", "web_attacks"]
    assert f"captures={hostile}" in arguments
    assert "RETRAIN_TOKEN" not in environment and environment["SECMLOPS_SIGNING_KEY"] == "a-key"
    assert where == str(folder / "runs" / run_id)
    assert not list(folder.rglob("pwned"))


def test_the_same_order_starts_once(folder):
    starter = starter_in(folder)
    run_id = starter.start(order(sleep="30"))
    pid = starter._own[run_id].pid
    assert starter.start(order(sleep="30")) == run_id
    assert starter._own[run_id].pid == pid
    starter.close()


def test_closing_ends_the_whole_group_of_processes(folder):
    starter = starter_in(folder)
    run_id = starter.start(order(sleep="30"))
    until((folder / "runs" / run_id / "run" / "seen.json").exists)
    starter.close()
    assert starter.state(run_id) is RunState.STOPPED


def test_another_service_process_follows_it_and_says_when_it_is_gone(folder):
    first = starter_in(folder)
    run_id = first.start(order(sleep="30"))
    second = starter_in(folder)
    assert second.find(run_id) == run_id
    assert second.state(run_id) is RunState.RUNNING

    os.kill(first._own[run_id].pid, signal.SIGKILL)
    first._own[run_id].wait()
    assert second.state(run_id) is RunState.LOST, "nobody here saw its exit status"


def test_a_process_number_that_another_process_has_now_is_not_taken_for_it(folder):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    try:
        (folder / "runs" / "old").mkdir(parents=True)
        identity = {"pid": other.pid, "began": 1, "command": []}
        (folder / "runs" / "old" / "process.json").write_text(json.dumps(identity))
        assert starter_in(folder).state("old") is RunState.LOST
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x", "began": 1}', '{"pid": 1}'])
def test_a_damaged_note_about_a_process_is_a_lost_run(folder, content):
    (folder / "runs" / "old").mkdir(parents=True)
    (folder / "runs" / "old" / "process.json").write_text(content)
    assert starter_in(folder).state("old") is RunState.LOST


def test_what_cannot_be_started_is_said(folder):
    starter = LocalStarter(folder / "runs", command=(str(folder / "absent"),))
    with pytest.raises(StartFailed, match="No such file"):
        starter.start(order())
    assert starter.find("retrain-web-attacks-1") is None


def test_the_default_is_the_projects_own_runner(tmp_path):
    starter = LocalStarter(tmp_path)
    run_id = starter.start(Order("retrain-x-1", "x", "no_such_pipeline", {}))
    until(lambda: starter.state(run_id) is not RunState.RUNNING)
    assert starter.state(run_id) is RunState.FAILED
    assert "no pipeline named 'no_such_pipeline'; there are:" in (tmp_path / run_id / "output.log").read_text()
