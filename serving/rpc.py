"""The gRPC door: KServe's V2 service behind an interceptor that blocks, bounds and refuses like the HTTP door."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc import aio
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from kserve.protocol.grpc.servicer import InferenceServicer

from serving.limits import Limits
from serving.refusals import Refusal, as_refusal, blocked

_IDENTITY_ONLY = 1
_MESSAGE_SLACK_BYTES = 64 * 1024
_CONNECTION_AGE_MS = 10 * 60 * 1000
_CONNECTION_GRACE_MS = 30 * 1000


class Doorkeeper(aio.ServerInterceptor):
    """Blocks the model repository calls and turns every failure into a refusal.

    KServe's own interceptor fails on a model that is not ready and passes exception texts on.

    Args:
        count: called with each refusal.
    """

    def __init__(self, count: Callable[[Refusal], None]):
        self._count = count

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Wrap the handler of one call."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        is_repository = handler_call_details.method.rpartition("/")[2].startswith("Repository")

        async def guarded(request: Any, context: aio.ServicerContext) -> Any:
            try:
                if is_repository:
                    raise blocked()
                return await handler.unary_unary(request, context)
            except Exception as error:
                refusal = as_refusal(error)
                self._count(refusal)
                await context.abort(refusal.status.rpc, f"{refusal.sentence} (id {refusal.id})")

        return grpc.unary_unary_rpc_method_handler(
            guarded,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def build_server(servicer: InferenceServicer, limits: Limits, count: Callable[[Refusal], None]) -> aio.Server:
    """A gRPC server with bounded messages, bounded concurrency and no compression (a small message cannot grow)."""
    server = aio.server(
        interceptors=[Doorkeeper(count)],
        options=[
            ("grpc.max_receive_message_length", limits.max_body_bytes + _MESSAGE_SLACK_BYTES),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", limits.max_header_bytes),
            ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_ONLY),
            ("grpc.max_connection_age_ms", _CONNECTION_AGE_MS),
            ("grpc.max_connection_age_grace_ms", _CONNECTION_GRACE_MS),
            ("grpc.so_reuseport", 0),
        ],
        maximum_concurrent_rpcs=limits.max_rpcs,
    )
    add_GRPCInferenceServiceServicer_to_server(servicer, server)
    return server
