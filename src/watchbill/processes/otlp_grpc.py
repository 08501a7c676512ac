"""The OTLP/gRPC receiver: the three ``Export`` methods over the same decoder and the same writer as OTLP/HTTP.

Source: OpenTelemetry protocol specification, "OTLP/gRPC". Requests come as bytes and go to our own decoder, so no
generated services are needed. Only the observer imports this, after it was forked: gRPC and forks do not mix.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError

import grpc
import msgspec
import structlog

from watchbill.features.telemetry import GroupCommit, LateSpans, Signal
from watchbill.intake.otlp import decode, export_reply
from watchbill.kernel.errors import Invalid, SetupError, TooLarge, Unavailable, WatchbillError
from watchbill.processes.otlp import KnownKeys, Limits, say

log = structlog.get_logger("watchbill.otlp.grpc")

_METHODS: dict[str, Signal] = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
}
MESSAGE_BYTES = 16 * 1024 * 1024
"""Of one request, unpacked; exporters send far less, and the Collector's own limit is 4 MiB."""
_WORKERS = 12
"""So many requests are read at a time; the others wait at their senders, held back by HTTP/2's flow control."""


class _Answer(msgspec.Struct, frozen=True):
    code: grpc.StatusCode
    message: str = ""
    body: bytes = b""


class GrpcReceiver:
    """Listens on ``address`` (host:port; port 0: any free one). ``keys`` None: everybody on this machine may send."""

    def __init__(
        self,
        commit: GroupCommit,
        late: LateSpans,
        *,
        address: str,
        limits: Limits,
        keys: KnownKeys | None,
        now_ns: Callable[[], int],
    ) -> None:
        self._commit = commit
        self._late = late
        self._limits = limits
        self._keys = keys
        self._now_ns = now_ns
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix="otlp-grpc"),
            handlers=[_Handlers(self.export)],
            options=[
                ("grpc.max_receive_message_length", MESSAGE_BYTES),
                ("grpc.so_reuseport", 0),  # a second observer on this port is a mistake, not a share of the load
            ],
        )
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise SetupError(
                f"cannot listen on {address} for OTLP over gRPC",
                code="port_in_use",
                hint="set WATCHBILL_OTLP_GRPC_PORT to another port, or to 0 to take none",
            ) from error

    def start(self) -> None:
        """Begin to take requests."""
        self._server.start()

    def stop(self) -> None:
        """Take no more; what was read is answered."""
        self._server.stop(grace=5).wait(10)

    def export(self, signal: Signal, body: bytes, metadata: dict[str, str]) -> _Answer:
        """One request: OK only after its rows are in the engine."""
        try:
            refused = self._unauthorised(metadata)
            if refused:
                return _Answer(grpc.StatusCode.UNAUTHENTICATED, refused)
            decoded = decode(
                signal,
                body,
                "protobuf",
                now_ns=self._now_ns(),
                retention_ns=int(self._limits.retention.total_seconds()) * 1_000_000_000,
                horizon_ns=int(self._limits.horizon.total_seconds()) * 1_000_000_000,
            )
            if decoded.payload:
                done = self._commit.submit(signal, decoded.payload, kinds=decoded.kinds)
                done.result(timeout=self._limits.commit_seconds)
        except FutureTimeoutError:
            return _Answer(grpc.StatusCode.UNAVAILABLE, "the telemetry engine is too slow now; send again")
        except WatchbillError as error:
            return _Answer(_code_of(error), say(error))
        except Exception as error:
            log.exception("a request could not be stored", signal=signal)
            return _Answer(grpc.StatusCode.UNAVAILABLE, f"the telemetry engine failed: {error}")
        if decoded.late_minutes:
            self._late.touch(decoded.late_minutes)
        reply = export_reply(signal, "protobuf", rejected=decoded.rejected, message=decoded.message)
        return _Answer(grpc.StatusCode.OK, body=reply)

    def _unauthorised(self, metadata: dict[str, str]) -> str | None:
        if self._keys is None:
            return None
        scheme, _, key = metadata.get("authorization", "").partition(" ")
        key = key.strip() if scheme.lower() == "bearer" else metadata.get("x-watchbill-key", "")
        if not key:
            return "a key is required: send 'authorization: Bearer KEY' (OTEL_EXPORTER_OTLP_HEADERS)"
        if self._keys.remembered(key) or self._keys.ask(key):
            return None
        return "this key is not known here, or is revoked"


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """The three methods, with bytes in and bytes out."""

    def __init__(self, export: Callable[[Signal, bytes, dict[str, str]], _Answer]) -> None:
        self._export = export

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """What answers this call; None: unimplemented."""
        signal = _METHODS.get(call.method)
        if signal is None:
            return None

        def answer(body: bytes, context: grpc.ServicerContext) -> bytes:
            metadata = {key.lower(): value for key, value in context.invocation_metadata() if isinstance(value, str)}
            made = self._export(signal, body, metadata)
            if made.code is not grpc.StatusCode.OK:
                context.abort(made.code, made.message)
            return made.body

        return grpc.unary_unary_rpc_method_handler(answer)


def _code_of(error: WatchbillError) -> grpc.StatusCode:
    """UNAVAILABLE is sent again by exporters; INVALID_ARGUMENT and RESOURCE_EXHAUSTED (without a delay) are not."""
    if isinstance(error, TooLarge):
        return grpc.StatusCode.RESOURCE_EXHAUSTED
    if isinstance(error, Invalid):
        return grpc.StatusCode.INVALID_ARGUMENT
    if isinstance(error, Unavailable):
        return grpc.StatusCode.UNAVAILABLE
    return grpc.StatusCode.INTERNAL if error.status >= 500 else grpc.StatusCode.INVALID_ARGUMENT
