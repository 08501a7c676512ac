"""The observer: takes OTLP, keeps SLI counts, evaluates SLOs. The only process that opens ClickHouse."""

from __future__ import annotations

from typing import Any

from watchbill.processes.compose import Context, Parts


def build(context: Context) -> Parts:  # noqa: ARG001
    """The OTLP receiver's app and the loops of telemetry and SLOs."""
    return Parts(app=_nothing_here)


async def _nothing_here(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"not found\n"})
