"""OpenTelemetry for one service of the shop: a tracer that exports by OTLP over HTTP.

Where to send, how often and how much is the SDK's own environment: ``OTEL_EXPORTER_OTLP_ENDPOINT``,
``OTEL_BSP_SCHEDULE_DELAY`` (milliseconds) and so on.
"""

from __future__ import annotations

import os

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def start_telemetry(*, service: str, version: str) -> TracerProvider:
    """Return a provider whose spans carry the service's name, version and environment.

    Call ``shutdown()`` on it before the process ends: it sends what is still waiting.
    """
    resource = Resource.create(
        {
            "service.name": service,
            "service.version": version,
            "service.namespace": "shop",
            "service.instance.id": f"{service}-{os.getpid()}",
            "deployment.environment.name": os.environ.get("SHOP_ENVIRONMENT", "production"),
        }
    )
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=5)))
    return provider
