"""A small V2 server on the loopback interface around a real network."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from secmlops.robustness.theft.queries import of_network
from secmlops.robustness.theft.remote import RemoteModel, RemoteModelFailed
from tests.unit.robustness.small import digits, trained

IMAGES = digits()[0][:70].numpy()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, dict(self.headers), question))
        status, answer = self.server.reply(question)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def tensor_answer(question, name="probabilities"):
    given = question["inputs"][0]
    found = of_network(trained())(np.array(given["data"], np.float32).reshape(given["shape"]))
    return {"outputs": [{"name": name, "datatype": "FP32", "shape": list(found.shape), "data": found.ravel().tolist()}]}


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []
    server.reply = lambda question: (200, json.dumps(tensor_answer(question)).encode())
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def remote(server):
    return RemoteModel(f"http://127.0.0.1:{server.server_port}/", "my digits", headers=(("X-Api-Key", "s3cret"),))


def test_the_served_answer_is_the_networks(server, remote):
    assert np.abs(remote(IMAGES) - of_network(trained())(IMAGES)).max() < 1e-5
    assert [question["inputs"][0]["shape"][0] for _, _, question in server.asked] == [32, 32, 6]
    path, headers, question = server.asked[0]
    assert path == "/v2/models/my%20digits/infer"
    assert headers["X-Api-Key"] == "s3cret"
    assert question["outputs"] == [{"name": "probabilities"}]


def test_the_key_is_not_shown(remote):
    assert "s3cret" not in repr(remote)


@pytest.mark.parametrize(
    ("reply", "told", "status"),
    [
        (lambda q: (429, b"slow down"), "status 429", 429),
        (lambda q: (200, b"<html>"), "not JSON", None),
        (lambda q: (200, json.dumps(tensor_answer(q, "other")).encode()), "no tensor 'probabilities'", None),
        (lambda q: (200, b'{"outputs": [{"name": "probabilities", "shape": [2], "data": [1, 2]}]}'), "shape", None),
        (lambda q: (200, b'{"outputs": [{"name": "probabilities", "shape": [2, 9], "data": [1]}]}'), "no tensor", None),
        (lambda q: (200, b"[]"), "no tensor", None),
    ],
)
def test_other_answers_are_errors(server, remote, reply, told, status):
    server.reply = reply
    with pytest.raises(RemoteModelFailed, match=told) as caught:
        remote(IMAGES[:2])
    assert caught.value.status == status
    assert "s3cret" not in str(caught.value)


def test_no_server(server, remote):
    server.shutdown()
    server.server_close()
    with pytest.raises(RemoteModelFailed, match="check host"):
        remote(IMAGES[:1])


@pytest.mark.parametrize("url", ["file:///etc", "ftp://127.0.0.1", "127.0.0.1:80"])
def test_only_http(url):
    with pytest.raises(RemoteModelFailed, match="http or https"):
        RemoteModel(url, "digits")(IMAGES[:1])
