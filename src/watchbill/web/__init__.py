"""The screens: server-rendered pages, live by SSE, that work on a phone at night. One module per noun."""

from watchbill.runtime.broadcast import Broadcaster
from watchbill.web.app import web_router
from watchbill.web.shell import Web

__all__ = ["Broadcaster", "Web", "web_router"]
