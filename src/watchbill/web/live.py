"""The live stream: "X changed", and nothing more, to every open page; each page then asks for itself."""

from __future__ import annotations

from typing import Any

from litestar import Request, get
from litestar.response import Stream

from watchbill.api.stream import sse
from watchbill.runtime.broadcast import Broadcaster
from watchbill.web.shell import GivenWeb, signed_in

__all__ = ["Broadcaster", "handlers"]


@get("/stream", opt={"stream": True})
async def stream(request: Request[Any, Any, Any], web: GivenWeb) -> Stream:
    """What changed, for a signed-in page."""

    def check() -> None:
        with web.screens.transaction() as tx:
            signed_in(tx, request)

    await web.lanes["screens"].run(check)
    return sse(web.live)


handlers = [stream]
