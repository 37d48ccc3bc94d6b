"""The real Kubeflow Pipelines client against a loopback server that speaks as much of its API (v2beta1) as is used."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from kfp import compiler, dsl

from serving.retrain.kfp_starter import EXPERIMENT, KfpStarter
from serving.retrain.starters import Order, RunState, StartFailed, Unreachable

ORDER = Order("retrain-tiny-1", "tiny", "tiny", {"captures": "s3://windows/shop/web-attacks"})


@dataclass
class Api:
    """What the server holds, and how it misbehaves."""

    url: str = ""
    runs: list[dict[str, Any]] = field(default_factory=list)
    experiments: list[dict[str, Any]] = field(default_factory=list)
    authorizations: set[str | None] = field(default_factory=set)
    loses_the_answer: bool = False
    filters: bool = True
    down: bool = False


def handler_of(api: Api) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            address = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            api.authorizations.add(self.headers.get("authorization"))
            match address.path.removeprefix("/apis/v2beta1/").split("/"):
                case _ if api.down:
                    self.answer({"error": "down"}, 503)
                case ["experiments"]:
                    self.answer({"experiments": self.wanted(api.experiments, query)})
                case ["runs"]:
                    self.answer({"runs": self.wanted(api.runs, query)})
                case ["runs", run_id]:
                    found = [run for run in api.runs if run["run_id"] == run_id]
                    self.answer(*((found[0],) if found else ({"error": "not found"}, 404)))
                case _:
                    self.answer({"error": f"not of this facade: {self.path}"}, 501)

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path == "/apis/v2beta1/experiments":
                api.experiments.append(body | {"experiment_id": "e1"})
                self.answer(api.experiments[-1])
            elif self.path == "/apis/v2beta1/runs":
                api.runs.append(body | {"run_id": f"r{len(api.runs) + 1}", "state": "PENDING"})
                self.answer(*(({"error": "gone"}, 502) if api.loses_the_answer else (api.runs[-1],)))
            else:
                self.answer({"error": f"not of this facade: {self.path}"}, 501)

        def wanted(self, things, query):
            (predicate,) = json.loads(query["filter"])["predicates"]
            assert predicate["operation"] in ("EQUALS", 1)  # JSON of protocol buffers: an enum by name or by number
            assert predicate["key"] == "display_name"
            assert query["namespace"] == "team"
            if not api.filters:
                return things
            return [thing for thing in things if thing["display_name"] == predicate["stringValue"]]

        def answer(self, document, status=200):
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    return Handler


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(api))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield api
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> Path:
    @dsl.component(base_image="python:3.11-slim", install_kfp_package=False)
    def look(captures: str) -> int:
        return len(captures)

    @dsl.pipeline(name="tiny")
    def tiny(captures: str, seed: int = 1):
        look(captures=captures)

    folder = tmp_path_factory.mktemp("packages")
    compiler.Compiler().compile(tiny, str(folder / "tiny.yaml"))
    return folder


@pytest.fixture
def starter(api, packages, monkeypatch, tmp_path) -> KfpStarter:
    from kfp import Client

    monkeypatch.setattr(Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))  # the home of whoever tests
    return KfpStarter(api.url, packages, namespace="team", service_account="retrainer")


def test_a_run_of_the_compiled_package_with_the_orders_name_and_parameters(api, starter):
    assert starter.start(ORDER) == "r1"

    (run,) = api.runs
    assert (run["display_name"], run["experiment_id"], run["service_account"]) == ("retrain-tiny-1", "e1", "retrainer")
    assert run["runtime_config"]["parameters"] == ORDER.parameters
    assert run["pipeline_spec"]["pipelineInfo"]["name"] == "tiny"
    assert [(e["display_name"], e["namespace"]) for e in api.experiments] == [(EXPERIMENT, "team")]


def test_the_same_order_starts_once_also_by_another_process(api, starter, packages):
    starter.start(ORDER)
    assert starter.start(ORDER) == "r1"
    assert KfpStarter(api.url, packages, namespace="team").start(ORDER) == "r1"
    assert len(api.runs) == 1


def test_an_answer_that_was_lost_does_not_start_a_second_run(api, starter):
    api.loses_the_answer = True
    with pytest.raises(StartFailed):
        starter.start(ORDER)
    api.loses_the_answer = False
    assert starter.start(ORDER) == "r1"
    assert len(api.runs) == 1


def test_a_server_that_does_not_filter_gives_no_run_of_another_name(api, starter):
    api.filters = False
    api.experiments.append({"display_name": EXPERIMENT, "experiment_id": "e1"})
    api.runs.append({"display_name": "somebody's", "run_id": "r0", "state": "RUNNING"})
    assert starter.find(ORDER.name) is None
    assert starter.start(ORDER) == "r2"


@pytest.mark.parametrize(
    ("reported", "state"),
    [
        ("PENDING", RunState.RUNNING),
        ("RUNNING", RunState.RUNNING),
        ("PAUSED", RunState.RUNNING),
        ("CANCELING", RunState.RUNNING),
        ("RUNTIME_STATE_UNSPECIFIED", RunState.RUNNING),
        ("SUCCEEDED", RunState.SUCCEEDED),
        ("FAILED", RunState.FAILED),
        ("CANCELED", RunState.STOPPED),
    ],
)
def test_states(api, starter, reported, state):
    run_id = starter.start(ORDER)
    api.runs[0]["state"] = reported
    assert starter.state(run_id) is state


def test_a_run_that_was_deleted_is_lost(starter):
    assert starter.state("r9") is RunState.LOST


def test_an_api_that_is_down(api, starter):
    api.down = True
    with pytest.raises(StartFailed):
        starter.start(ORDER)
    with pytest.raises(Unreachable):
        starter.state("r1")
    with pytest.raises(Unreachable):
        starter.find(ORDER.name)


def test_a_package_that_is_missing(starter):
    with pytest.raises(StartFailed, match="compile the pipelines first"):
        starter.start(Order("retrain-x-1", "x", "x", {}))


def test_the_service_accounts_token_is_sent(api, packages, tmp_path):
    (tmp_path / "token").write_text("projected")
    KfpStarter(api.url, packages, namespace="team", token_file=str(tmp_path / "token")).find("x")
    assert api.authorizations == {"Bearer projected"}
