"""One line at the start of a service: telemetry, identity, health, graceful shutdown, logs, switches, drills."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opentelemetry import metrics, trace

from watchbill_sdk import contract, shutdown
from watchbill_sdk.chaos import CHAOS
from watchbill_sdk.errors import ConfigError, TokenRefused
from watchbill_sdk.health import HealthServer
from watchbill_sdk.logs import correlate_stdlib
from watchbill_sdk.polling import Poller
from watchbill_sdk.primitive import Seconds, seconds
from watchbill_sdk.recorder import RECORDER
from watchbill_sdk.resource import describe

log = logging.getLogger(__name__)
_METER = "watchbill_sdk"


@dataclass(slots=True)
class Setup:
    """What :func:`setup` started. ``problems``: what of the environment could not be used; the service runs anyway."""

    resource: Mapping[str, str]
    endpoint: str
    problems: tuple[str, ...]
    health_port: int | None = None
    _flushes: list[Callable[[float], None]] = field(default_factory=list)
    _providers: list[Any] = field(default_factory=list)

    @property
    def service(self) -> str:
        """The name it goes by."""
        return self.resource["service.name"]

    @property
    def environment(self) -> str:
        """Where it runs: production unless something says otherwise."""
        return self.resource.get("deployment.environment.name", "production")

    def flush(self, timeout: Seconds = 3.0) -> None:
        """Send what is waiting, for at most this long, even if the endpoint is away or does not answer."""
        limit = seconds(timeout, "timeout")
        threads = [threading.Thread(target=flush, args=(limit,), daemon=True) for flush in self._flushes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(limit / len(threads))


_current: Setup | None = None
_arguments: Mapping[str, Any] = {}
_lock = threading.Lock()


def setup(
    service: str | None = None,
    *,
    version: str | None = None,
    environment: str | None = None,
    package: str | None = None,
    endpoint: str | None = None,
    key: str | None = None,
    health_port: int | None = None,
    switches_url: str | None = None,
    drain: float = 0.0,
    handle_signals: bool = True,
    podinfo: Path = Path("/etc/podinfo"),
) -> Setup:
    """Start everything; return what was started. A second call returns the first one's and changes nothing.

    1. Who am I: see :func:`watchbill_sdk.resource.describe`.
    2. Traces and metrics by OTLP/HTTP to ``endpoint`` (else ``WATCHBILL_OTLP_ENDPOINT``,
    ``OTEL_EXPORTER_OTLP_ENDPOINT``, ``http://localhost:4318``), with ``key`` or ``WATCHBILL_OTLP_KEY`` as bearer
    token. Providers that the application has set already are kept. ``OTEL_SDK_DISABLED=true`` sends nothing.
    3. ``trace_id`` and ``span_id`` on every record of :mod:`logging`.
    4. Health paths on ``health_port`` (or ``WATCHBILL_HEALTH_PORT``) when given; the middlewares answer them in any
    case.
    5. Switches and drills from ``switches_url`` or ``WATCHBILL_SWITCHES_URL``; a drill from ``WATCHBILL_CHAOS_TOKEN``.
    6. SIGTERM: readiness off, ``drain`` seconds for load balancers to see it, requests in flight finish, telemetry is
    sent, then what the process did on SIGTERM before.

    A wrong *environment* never keeps a service from starting: it is logged and listed in ``problems``. Exporting
    happens on background threads and drops what it cannot send; it never slows a request.

    Raises:
        ConfigError: a wrong *argument*.
    """
    global _current, _arguments  # noqa: PLW0603  # one process, one setup
    given = {"service": service, "version": version, "environment": environment, "endpoint": endpoint}
    with _lock:
        if _current is not None:
            if any(value is not None and _arguments.get(name) != value for name, value in given.items()):
                log.warning("setup() was called again with other arguments; the first call stays in force")
            return _current
        if endpoint is not None and not endpoint.startswith(("http://", "https://")):
            raise ConfigError(f"endpoint must begin with http:// or https://, got {endpoint!r}")
        if isinstance(drain, bool) or not 0 <= drain < 3600:
            raise ConfigError(f"drain must be from 0 to 3600 seconds, got {drain!r}")
        _current = _start(
            describe(service=service, version=version, environment=environment, package=package, podinfo=podinfo),
            endpoint=endpoint,
            key=key,
            health_port=health_port,
            switches_url=switches_url,
        )
        _arguments = given
        CHAOS.service, CHAOS.environment = _current.service, _current.environment
        _arm_from_environment()
        correlate_stdlib(_current.service)
        if handle_signals:
            shutdown.install(drain=drain, before_exit=_current.flush)
        atexit.register(_current.flush)
        return _current


def _start(
    resource: Mapping[str, str],
    *,
    endpoint: str | None,
    key: str | None,
    health_port: int | None,
    switches_url: str | None,
) -> Setup:
    problems: list[str] = []
    endpoint = _endpoint(endpoint, problems)
    started = Setup(resource, endpoint, ())
    if resource["service.name"].startswith("unknown_service"):
        problems.append("no service name: give setup(service=…) or OTEL_SERVICE_NAME")
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() != "true":
        try:
            _start_telemetry(started, key or os.environ.get("WATCHBILL_OTLP_KEY"))
        except Exception as error:  # noqa: BLE001  # OpenTelemetry's trouble must not stop a service
            problems.append(f"telemetry is off: {type(error).__name__}: {error}")
    _start_health(started, health_port, problems)
    address = switches_url or os.environ.get("WATCHBILL_SWITCHES_URL")
    if address:
        try:
            poller = Poller(address, token=os.environ.get("WATCHBILL_SWITCHES_TOKEN"))
        except ConfigError as error:
            if switches_url:
                raise
            problems.append(f"WATCHBILL_SWITCHES_URL: {error}")
        else:
            poller.start()
            os.register_at_fork(after_in_child=poller.start)
    for problem in problems:
        log.warning("watchbill_sdk: %s", problem)
    started.problems = tuple(problems)
    return started


def _endpoint(given: str | None, problems: list[str]) -> str:
    for name, value in (
        ("endpoint", given),
        ("WATCHBILL_OTLP_ENDPOINT", os.environ.get("WATCHBILL_OTLP_ENDPOINT")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")),
    ):
        if not value:
            continue
        if value.startswith(("http://", "https://")):
            return value.rstrip("/")
        problems.append(f"{name} must begin with http:// or https://, it is {value!r}; passed over")
    return "http://localhost:4318"


def _start_health(started: Setup, port: int | None, problems: list[str]) -> None:
    text = os.environ.get("WATCHBILL_HEALTH_PORT")
    if port is None and not text:
        return
    try:
        host = os.environ.get("WATCHBILL_HEALTH_HOST", "127.0.0.1")
        server = HealthServer(port if port is not None else int(text or ""), host)
    except (OSError, ValueError, OverflowError) as error:
        if port is not None:
            raise ConfigError(f"cannot listen on health_port {port}: {error}") from error
        problems.append(f"WATCHBILL_HEALTH_PORT={text}: {error}")
        return
    started.health_port = server.port


def _start_telemetry(started: Setup, key: str | None) -> None:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create(dict(started.resource))
    headers = {"authorization": f"Bearer {key}"} if key else None
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        spans = OTLPSpanExporter(endpoint=f"{started.endpoint}/v1/traces", headers=headers, timeout=5)
        processor = BatchSpanProcessor(spans)
        tracers.add_span_processor(processor)
        trace.set_tracer_provider(tracers)
        started._flushes.append(lambda limit: _ignore(processor.force_flush(int(limit * 1000))))
        started._providers.append(tracers)
    if type(metrics.get_meter_provider()).__name__ == "_ProxyMeterProvider":
        exporter = OTLPMetricExporter(endpoint=f"{started.endpoint}/v1/metrics", headers=headers, timeout=5)
        reader = PeriodicExportingMetricReader(exporter, export_timeout_millis=5000)
        meters = MeterProvider(metric_readers=[reader], resource=resource, shutdown_on_exit=False)
        metrics.set_meter_provider(meters)
        started._flushes.append(lambda limit: _ignore(meters.force_flush(int(limit * 1000))))
        started._providers.append(meters)
    register_metrics()
    os.register_at_fork(after_in_child=_in_child)


def _ignore(_: object) -> None:
    """A flush that fails has been logged by OpenTelemetry."""


def _in_child() -> None:
    """A forked worker is an instance of its own: else two workers' counters would be one jumping series."""
    if _current is None:
        return
    from opentelemetry.sdk.resources import Resource

    own = Resource({"service.instance.id": str(uuid.uuid4()), "process.pid": str(os.getpid())})
    for provider in _current._providers:
        update = getattr(provider, "_update_resource", None)  # OpenTelemetry's own hook for forks has no public name
        if update is not None:
            update(own)


def register_metrics() -> None:
    """Let the current OpenTelemetry meter provider read everything of the metrics contract.

    Done by :func:`setup`; for applications that configure OpenTelemetry themselves.
    """
    meter = metrics.get_meter(_METER)
    for instrument in contract.INSTRUMENTS:
        make = meter.create_observable_counter if instrument.kind == "counter" else meter.create_observable_gauge
        make(instrument.name, [_reader(instrument)], instrument.unit, instrument.description)


def _reader(instrument: contract.Instrument) -> Callable[[metrics.CallbackOptions], Iterable[metrics.Observation]]:
    def read(_: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        return [
            metrics.Observation(measured.value, dict(measured.attributes))
            for measured in RECORDER.measurements()
            if measured.instrument is instrument
        ]

    return read


def _arm_from_environment() -> None:
    token = os.environ.get("WATCHBILL_CHAOS_TOKEN")
    if token:
        try:
            CHAOS.arm(token)
        except (TokenRefused, ConfigError) as error:
            log.warning("WATCHBILL_CHAOS_TOKEN is refused: %s", error)
