"""One server process: KServe's model server with a guarded door on each protocol."""

import argparse
import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any

import kserve
import uvicorn
from kserve import logging as kserve_logging
from kserve import model_server
from kserve.errors import ModelNotReady
from kserve.model import BaseKServeModel
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.rest.server import RESTServer
from starlette.exceptions import HTTPException

from serving.base import VerifiedModel
from serving.limits import Limits
from serving.refusals import Refusal, logger
from serving.rest import Door, bounded_protocol, refuse_read
from serving.rpc import build_server


class HonestDataPlane(DataPlane):
    """KServe's data plane that says what is so.

    KServe's own calls the server ready whatever its models are, loads a model again at every call while it is not
    ready, and announces the repository extension that is blocked here.
    """

    async def ready(self) -> bool:
        """Whether every model is ready."""
        return all([await model.healthy() for model in self.model_registry.get_models().values()])

    async def get_model(self, name: str) -> BaseKServeModel:
        """The model, if it is ready.

        Raises:
            ModelNotFound: no model of that name.
            ModelNotReady: it has not been verified and loaded.
        """
        model = self.get_model_from_registry(name)
        if not await model.healthy():
            raise ModelNotReady(name)
        return model

    def metadata(self) -> dict:
        """Server metadata with the extensions that are really served."""
        return super().metadata() | {"extensions": ["binary_tensor_data"]}


class GuardedServer(kserve.ModelServer):
    """KServe's model server for one process, ready or not, with bounds on every input.

    One worker only: with several, `/metrics` shows the numbers of one of them. Scale by replicas.

    Args:
        host: address to listen on.
        limits: bounds of the process.
        count: called with each refused request.
        door: makes the HTTP door out of KServe's application, the data plane, the limits and `count`.
        beside: entered before the first request, left after the last: what else the process does.
        settings: settings of `kserve.ModelServer`; port 0 picks a free port and the log names it.
    """

    def __init__(
        self,
        host: str,
        limits: Limits,
        count: Callable[[Refusal], None],
        *,
        door: Callable[..., Door] = Door,
        beside: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext,
        **settings: Any,
    ):
        super().__init__(workers=1, **settings)
        self._door = door
        self._beside = beside
        self.dataplane = HonestDataPlane(model_registry=self.registered_models)
        self._host = host
        self._limits = limits
        self._count = count

    def start(self, models: Sequence[kserve.Model]) -> None:
        """Serve until SIGTERM, SIGINT or SIGQUIT; requests under way are answered first."""
        for model in models:
            model.enable_latency_logging = self.enable_latency_logging
            self.register_model(model)
        config = self._rest_config(self._application())
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(self._run(config))
        logger.info("the server has stopped")

    async def _run(self, config: uvicorn.Config) -> None:
        rest = uvicorn.Server(config)
        for stop_signal in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(stop_signal, rest.handle_exit)
        rpc = build_server(
            InferenceServicer(self.dataplane, self.model_repository_extension), self._limits, self._count
        )
        rpc_port = rpc.add_insecure_port(f"{self._host}:{self.grpc_port}") if self.enable_grpc else None
        socket = config.bind_socket()
        await rpc.start()
        logger.info("listening on %s: http %d, grpc %s", self._host, socket.getsockname()[1], rpc_port)
        try:
            async with self._beside():
                await rest.serve(sockets=[socket])
        finally:
            await rpc.stop(self.grace_period)
            for name in list(self.registered_models.get_models()):
                self.registered_models.unload(name)

    def _application(self) -> Door:
        rest = RESTServer(
            model_server.FASTAPI_APP_IMPORT_STRING,
            self.dataplane,
            self.model_repository_extension,
            self.http_port,
            access_log_format=self.access_log_format,
        )
        rest.create_application()
        app = model_server.app
        for kind in [*app.exception_handlers, HTTPException]:
            app.add_exception_handler(kind, refuse_read)
        return self._door(app, self.dataplane, self._limits, self._count)

    def _rest_config(self, door: Door) -> uvicorn.Config:
        return uvicorn.Config(
            door,
            host=self._host,
            port=self.http_port,
            http=bounded_protocol(self._limits),
            ws="none",
            lifespan="off",
            loop=self.event_loop,
            log_config=None,
            server_header=False,
            limit_concurrency=self._limits.max_connections,
            timeout_keep_alive=self.timeout_keep_alive,
            timeout_graceful_shutdown=self.grace_period,
        )


def argument_parser(description: str, default_name: str) -> argparse.ArgumentParser:
    """The command line of a model server: KServe's flags, the bundle, the key that it trusts, and the limits."""
    parser = argparse.ArgumentParser(description=description, parents=[model_server.parser])
    parser.set_defaults(model_name=default_name)
    parser.add_argument("--model_dir", type=Path, default=Path("/mnt/models"), help="The signed model bundle.")
    parser.add_argument(
        "--trusted_key", required=True, help="Public key (PEM) of the bundles' signer: a path, or env:VARIABLE."
    )
    parser.add_argument("--host", default="0.0.0.0", help="Address to listen on.")  # noqa: S104 (a pod's own address)
    Limits.add_flags(parser)
    return parser


def serve(model_class: type[VerifiedModel], flags: argparse.Namespace) -> None:
    """Load one model and serve it, on what `argument_parser` read."""
    require_one_worker(flags)
    limits = Limits.from_flags(flags)
    run(model_class(flags.model_name, flags.model_dir, flags.trusted_key, limits), flags)


def run(model: VerifiedModel, flags: argparse.Namespace, **parts: Any) -> None:
    """Load and serve a model that is made already.

    Args:
        model: it.
        flags: what `argument_parser` read.
        parts: `door` and `beside` of `GuardedServer`.
    """
    require_one_worker(flags)
    if flags.configure_logging:
        kserve_logging.configure_logging(flags.log_config_file)
    model.load()
    GuardedServer(
        flags.host,
        model.limits,
        model.metrics.count,
        http_port=flags.http_port,
        grpc_port=flags.grpc_port,
        enable_grpc=flags.enable_grpc,
        enable_latency_logging=flags.enable_latency_logging,
        access_log_format=flags.access_log_format,
        event_loop=flags.event_loop,
        timeout_keep_alive=flags.timeout_keep_alive,
        **parts,
    ).start([model])


def require_one_worker(flags: argparse.Namespace) -> None:
    """End the process when more are asked for."""
    if flags.workers != 1:
        raise SystemExit("--workers must be 1, for /metrics shows the numbers of one process: run more replicas")
