"""The HTTP and gRPC doors with a trivial model behind them: bounds, blocks, and refusals without internals."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import pytest
import uvicorn
from fastapi import FastAPI
from grpc import aio
from kserve import ModelRepository
from kserve.errors import InferenceError, InvalidInput
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from serving.limits import Limits
from serving.refusals import Reason, Refusal, as_refusal
from serving.rest import Door, bounded_protocol
from serving.rpc import build_server
from serving.server import HonestDataPlane
from tests.serving.model_doubles import SECRET, Lengths

TIGHT = Limits(
    max_body_bytes=20_000,
    max_buffered_bytes=30_000,
    max_instances=4,
    max_header_bytes=4_096,
    head_timeout_s=0.4,
    body_timeout_s=0.4,
    predict_timeout_s=0.4,
    predict_threads=1,
    max_waiting=1,
)
V1 = "/v1/models/lengths:predict"
V2 = "/v2/models/lengths/infer"


@dataclass
class Running:
    model: Lengths
    port: int
    stub: GRPCInferenceServiceStub
    refused: list[Refusal] = field(default_factory=list)


@asynccontextmanager
async def running(*, ready: bool = True, limits: Limits = TIGHT) -> AsyncIterator[Running]:
    """Both doors on free loopback ports, in this event loop."""
    model = Lengths(limits, ready=ready)
    repository = ModelRepository()
    repository.update(model)
    dataplane = HonestDataPlane(model_registry=repository)
    refused: list[Refusal] = []
    door = Door(FastAPI(), dataplane, limits, refused.append)
    config = uvicorn.Config(
        door, host="127.0.0.1", port=0, http=bounded_protocol(limits), ws="none", lifespan="off", log_config=None
    )
    rest = uvicorn.Server(config)
    rpc = build_server(InferenceServicer(dataplane, ModelRepositoryExtension(repository)), limits, refused.append)
    rpc_port = rpc.add_insecure_port("127.0.0.1:0")
    await rpc.start()
    socket = config.bind_socket()
    task = asyncio.ensure_future(rest._serve([socket]))
    while not rest.started:
        await asyncio.sleep(0.01)
    channel = aio.insecure_channel(f"127.0.0.1:{rpc_port}")
    try:
        yield Running(model, socket.getsockname()[1], GRPCInferenceServiceStub(channel), refused)
    finally:
        model.go.set()
        await channel.close()
        await rpc.stop(0)
        rest.should_exit = rest.force_exit = True
        await task


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict:
        return json.loads(self.body)


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in head[1:] if line)}
    return Answer(int(head[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"])))


async def send(port: int, *parts: bytes, pause_s: float = 0.0) -> Answer:
    """Write the parts to a new connection and read one answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)
        return await asyncio.wait_for(read_answer(reader), 10)
    finally:
        writer.close()


def head(path: str, method: str = "POST", **headers: object) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: test"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


async def post(port: int, path: str, body: bytes, **headers: object) -> Answer:
    return await send(port, head(path, content_length=len(body), **headers) + body)


def v2(*elements: str) -> bytes:
    return json.dumps(
        {"inputs": [{"name": "texts", "shape": [len(elements)], "datatype": "BYTES", "data": elements}]}
    ).encode()


async def is_alive(server: Running) -> bool:
    answer = await post(server.port, V1, b'{"instances": ["abc"]}')
    return answer.status == 200 and answer.document == {"predictions": [{"length": 3}]}


def assert_refused(answer: Answer, status: int, reason: Reason) -> None:
    """A refusal is JSON with a sentence, a reason and an id, and tells no internals."""
    assert (answer.status, answer.document["reason"]) == (status, reason)
    assert set(answer.document) == {"error", "reason", "id"}
    assert len(answer.document["id"]) == 16
    assert answer.headers["content-type"] == "application/json"
    for internal in (b"/etc", b"Error", b"Exception", b"Traceback", b"site-packages", b"kserve", b".py"):
        assert internal not in answer.body


async def test_both_protocols_answer():
    async with running() as server:
        assert await is_alive(server)
        answer = await post(server.port, V2, v2("a", "bc"))
        assert answer.document["outputs"] == [{"name": "length", "shape": [2], "datatype": "INT64", "data": [1, 2]}]
        assert server.refused == []


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        (V1, b"not json", 400, Reason.NOT_JSON),
        (V2, b"not json", 400, Reason.NOT_JSON),
        (V1, b'{"instances": 1}', 400, Reason.WRONG_SHAPE),
        (V2, b'{"inputs": 1}', 400, Reason.WRONG_SHAPE),
        (V1, b"[" * 10_000 + b"]" * 10_000, 400, Reason.TOO_DEEP),
        (V2, b"[" * 10_000 + b"]" * 10_000, 400, Reason.TOO_DEEP),
        (V1, json.dumps({"instances": ["x"] * 5}).encode(), 400, Reason.TOO_MANY_INSTANCES),
        (V2, v2(*"12345"), 400, Reason.TOO_MANY_INSTANCES),
        (V1, b"x" * 20_001, 413, Reason.TOO_LARGE),
        (V2, b"x" * 20_001, 413, Reason.TOO_LARGE),
        (V1, b'{"instances": ["break"]}', 500, Reason.INTERNAL),
        (V2, v2("break"), 500, Reason.INTERNAL),
        (V2, v2("hang"), 504, Reason.TIMED_OUT),
        ("/v1/models/other:predict", b"{}", 404, Reason.NOT_FOUND),
        ("/v1/models/lengths:explain", b"{}", 404, Reason.NOT_FOUND),
        ("/v2/models/lengths/versions/1/infer", b"{}", 404, Reason.NOT_FOUND),
        ("/v2/repository/models/lengths/load", b"", 403, Reason.BLOCKED),
        ("/v2/repository/models/lengths/unload", b"", 403, Reason.BLOCKED),
        ("/v2/%72epository/models/lengths/unload", b"", 403, Reason.BLOCKED),
        ("/v2//repository/models/lengths/unload", b"", 404, Reason.NOT_FOUND),
        ("/v2/repository/index", b"{}", 403, Reason.BLOCKED),
    ],
)
async def test_refusals_over_http(path, body, status, reason):
    async with running() as server:
        assert_refused(await post(server.port, path, body), status, reason)
        assert [refusal.reason for refusal in server.refused] == [reason]
        server.model.go.set()
        assert await is_alive(server)


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/redoc", "/v1/models/lengths:predict", "/admin"])
async def test_only_listed_resources_can_be_read(path):
    async with running() as server:
        answer = await send(server.port, head(path, "GET"))
        assert answer.status in (404, 405)
        assert_refused(answer, answer.status, Reason(answer.document["reason"]))


async def test_the_log_names_what_the_client_is_not_told(caplog):
    with caplog.at_level("INFO", logger="kserve"):
        refusal = as_refusal(RuntimeError(SECRET))
    assert SECRET not in json.dumps(refusal.document())
    assert refusal.id in caplog.text
    assert SECRET in caplog.text


@pytest.mark.parametrize("error", [InferenceError(SECRET), InvalidInput(SECRET), NotImplementedError(SECRET)])
def test_no_framework_error_reaches_the_client(error):
    assert SECRET not in json.dumps(as_refusal(error).document())


async def test_a_large_body_is_refused_from_its_header_alone():
    async with running() as server:
        assert_refused(await send(server.port, head(V1, content_length=50_000_000)), 413, Reason.TOO_LARGE)
        assert await is_alive(server)


async def test_a_large_chunked_body_is_refused_before_it_ends():
    async with running() as server:
        chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
        answer = await send(server.port, head(V2, transfer_encoding="chunked"), chunk, chunk)
        assert_refused(answer, 413, Reason.TOO_LARGE)
        assert await is_alive(server)


async def test_a_client_that_sends_50_mb_all_the_same_reads_the_refusal():
    async with running() as server:
        body = b"x" * 50_000_000
        assert_refused(await post(server.port, V1, body), 413, Reason.TOO_LARGE)
        assert await is_alive(server)


@pytest.mark.parametrize("path", ["/v2/repository/models/lengths/unload", "/nowhere", V2])
async def test_a_refusal_reaches_a_client_that_is_still_sending(path):
    async with running(ready=False) as server:
        answer = await post(server.port, path, b"x" * 3_000_000)
        assert answer.status in (403, 404, 503)
        assert len(server.refused) == 1


async def test_a_client_that_asks_first_is_not_told_to_continue():
    async with running() as server:
        request = head(V1, content_length=50_000_000, expect="100-continue")
        assert_refused(await send(server.port, request), 413, Reason.TOO_LARGE)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
async def test_compressed_bodies_are_not_unpacked(encoding):
    async with running() as server:
        answer = await post(server.port, V1, b"\x1f\x8b", content_encoding=encoding)
        assert_refused(answer, 415, Reason.UNSUPPORTED_ENCODING)
        assert await is_alive(server)


async def test_a_slow_body_is_refused():
    async with running() as server:
        answer = await send(server.port, head(V1, content_length=100), b'{"inst', b'ances"')
        assert_refused(answer, 408, Reason.SLOW_BODY)
        assert await is_alive(server)


async def test_a_slow_head_is_cut_off():
    async with running() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST / HTTP/1.1\r\nhost:")
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        assert await is_alive(server)


async def test_an_endless_head_is_cut_off():
    async with running() as server:
        answer = await send(server.port, b"GET / HTTP/1.1\r\n", b"x: y\r\n" * 1_000, pause_s=0.05)
        assert answer.status == 400
        assert await is_alive(server)


async def test_a_second_request_on_a_connection_has_the_same_bounds():
    async with running() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        body = b'{"instances": ["abc"]}'
        for _ in range(2):
            writer.write(head(V1, content_length=len(body)) + body)
            assert (await read_answer(reader)).status == 200
        writer.write(b"POST / HTTP/1.1\r\nhost:")
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


async def test_all_bodies_together_are_bounded():
    async with running() as server:
        part = b"x" * 18_000
        connections = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        for _, writer in connections:
            writer.write(head(V1, content_length=19_000) + part)
        answers = [await read_answer(reader) for reader, _ in connections]
        assert {answer.document["reason"] for answer in answers} == {Reason.OVERLOADED, Reason.SLOW_BODY}
        for _, writer in connections:
            writer.close()
        assert await is_alive(server)


async def test_overload_is_said_at_once():
    async with running(limits=Limits(predict_threads=1, max_waiting=1)) as server:
        asked = [asyncio.ensure_future(post(server.port, V2, v2("hang"))) for _ in range(4)]
        for answer in [await next(done) for done in [asyncio.as_completed(asked)] for _ in range(2)]:
            assert_refused(answer, 503, Reason.OVERLOADED)
            assert answer.headers["retry-after"] == "1"
        server.model.go.set()
        assert sorted(answer.status for answer in await asyncio.gather(*asked)) == [200, 200, 503, 503]
        assert await is_alive(server)


async def test_a_model_that_is_not_ready_answers_503_everywhere():
    async with running(ready=False) as server:
        assert_refused(await post(server.port, V1, b'{"instances": ["abc"]}'), 503, Reason.NOT_READY)
        assert_refused(await post(server.port, V2, v2("a")), 503, Reason.NOT_READY)
        assert await rpc_failure(server.stub.ModelInfer, question(b"a")) is grpc.StatusCode.UNAVAILABLE
        assert not (await server.stub.ModelReady(pb.ModelReadyRequest(name="lengths"))).ready
        assert not (await server.stub.ServerReady(pb.ServerReadyRequest())).ready


def question(*elements: bytes, **change: object) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="lengths", id="1")
    fields = {"name": "texts", "datatype": "BYTES", "shape": [len(elements)]} | change
    request.inputs.add(**fields).contents.bytes_contents.extend(elements)
    return request


async def rpc_failure(call: Callable[..., Awaitable], request: object, **options: object) -> grpc.StatusCode:
    with pytest.raises(aio.AioRpcError) as caught:
        await call(request, **options)
    details = caught.value.details()
    assert SECRET not in details
    assert "Error" not in details
    return caught.value.code()


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (question(b"a", name="other"), grpc.StatusCode.INVALID_ARGUMENT),
        (question(b"a", datatype="FP32"), grpc.StatusCode.INVALID_ARGUMENT),
        (question(b"a", datatype="NOPE"), grpc.StatusCode.INVALID_ARGUMENT),
        (question(b"a", shape=[2]), grpc.StatusCode.INVALID_ARGUMENT),
        (question(b"a", shape=[-1]), grpc.StatusCode.INVALID_ARGUMENT),
        (question(), grpc.StatusCode.INVALID_ARGUMENT),
        (question(*[b"a"] * 5), grpc.StatusCode.INVALID_ARGUMENT),
        (pb.ModelInferRequest(model_name="lengths"), grpc.StatusCode.INVALID_ARGUMENT),
        (pb.ModelInferRequest(model_name="other"), grpc.StatusCode.NOT_FOUND),
        (pb.ModelInferRequest(model_name="lengths", raw_input_contents=[b"x"]), grpc.StatusCode.INVALID_ARGUMENT),
        (question(b"break"), grpc.StatusCode.INTERNAL),
        (question(b"hang"), grpc.StatusCode.DEADLINE_EXCEEDED),
    ],
)
async def test_refusals_over_grpc(request_, code):
    async with running() as server:
        assert await rpc_failure(server.stub.ModelInfer, request_) is code
        assert len(server.refused) == 1
        server.model.go.set()
        answer = await server.stub.ModelInfer(question(b"abc"))
        assert list(answer.outputs[0].contents.int64_contents) == [3]


async def test_grpc_binary_tensors():
    async with running() as server:
        request = pb.ModelInferRequest(model_name="lengths", raw_input_contents=[b"\x02\0\0\0\xff\xfe"])
        request.inputs.add(name="texts", datatype="BYTES", shape=[1])
        answer = await server.stub.ModelInfer(request)
        assert answer.raw_output_contents[0] == (2).to_bytes(8, "little")
        request.raw_input_contents[0] = b"\xff\xff\xff\xff"
        assert await rpc_failure(server.stub.ModelInfer, request) is grpc.StatusCode.INVALID_ARGUMENT


async def test_grpc_repository_calls_are_blocked():
    async with running() as server:
        for call, request in (
            (server.stub.RepositoryModelUnload, pb.RepositoryModelUnloadRequest(model_name="lengths")),
            (server.stub.RepositoryModelLoad, pb.RepositoryModelLoadRequest(model_name="lengths")),
        ):
            assert await rpc_failure(call, request) is grpc.StatusCode.PERMISSION_DENIED
        assert (await server.stub.ModelReady(pb.ModelReadyRequest(name="lengths"))).ready


async def test_grpc_messages_are_bounded_and_cannot_be_compressed():
    async with running() as server:
        large = question(b"x" * 200_000)
        assert await rpc_failure(server.stub.ModelInfer, large) is grpc.StatusCode.RESOURCE_EXHAUSTED
        bomb = await rpc_failure(server.stub.ModelInfer, large, compression=grpc.Compression.Gzip)
        assert bomb in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert (await server.stub.ModelReady(pb.ModelReadyRequest(name="lengths"))).ready
