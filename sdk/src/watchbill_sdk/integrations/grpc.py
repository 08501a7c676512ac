"""gRPC, both sides, sync and ``grpc.aio``. The deadline is gRPC's own; priority and trace are metadata."""

from watchbill_sdk.integrations.grpc_client import AioClientInterceptor, ClientInterceptor, aio_client
from watchbill_sdk.integrations.grpc_server import AioServerInterceptor, ServerInterceptor

__all__ = ["AioClientInterceptor", "AioServerInterceptor", "ClientInterceptor", "ServerInterceptor", "aio_client"]
