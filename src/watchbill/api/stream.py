"""GET /api/v1/stream: what changed, as server-sent events.

Events: ``ready``, ``changed`` (data such as ``incident:17``), ``resync`` (look at everything), ``bye`` (open
another). They say only that something changed; ask for it under your own rights.
"""

from __future__ import annotations

from typing import Any

from litestar import Request, get
from litestar.response import Stream

from watchbill.api.given import GivenCaller
from watchbill.kernel.errors import Unavailable
from watchbill.runtime.broadcast import Broadcaster


def sse(broadcaster: Broadcaster) -> Stream:
    """The response of one stream."""
    return Stream(
        broadcaster.stream(),
        media_type="text/event-stream; charset=utf-8",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@get("/stream", tags=["stream"], opt={"stream": True})
async def stream(request: Request[Any, Any, Any], caller: GivenCaller) -> Stream:
    """What changed, while the connection is open."""
    del caller
    broadcaster = request.app.state.get("live")
    if not isinstance(broadcaster, Broadcaster):
        raise Unavailable("this server has no live stream", code="no_stream", hint="poll instead")
    return sse(broadcaster)


handlers = [stream]
