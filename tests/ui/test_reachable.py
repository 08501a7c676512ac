"""Every screen can be reached by following links from the first one."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
from pathlib import Path

import watchbill.web
from tests.ui.conftest import SignIn
from watchbill.runtime.db import Database

PICTURES = os.environ.get("WATCHBILL_TEST_PICTURES")
NOT_PAGES = re.compile(r"/(sign-in|stream|favicon\.ico|push-worker\.js|static/.*|slos/report\.csv)$")


def test_every_screen_without_a_parameter_is_linked_from_somewhere(shop: Database, sign_in: SignIn) -> None:
    page = sign_in()
    modules = [
        importlib.import_module(f"watchbill.web.{one.name}") for one in pkgutil.iter_modules(watchbill.web.__path__)
    ]
    handlers = [handler for module in modules for handler in getattr(module, "handlers", [])]
    wanted = {path for handler in handlers if "GET" in handler.http_methods for path in handler.paths}
    wanted = {path for path in wanted if "{" not in path and not NOT_PAGES.match(path)}
    assert {"/rollbacks", "/capacity/review", "/traces"} <= wanted
    seen, waiting = {"/"}, ["/"]
    while waiting:
        answer = page.request.get(waiting.pop())
        assert answer.ok, answer.url
        for link in re.findall(r'href="(/[^"?#]*)', answer.text()):
            place = re.sub(r"/[0-9a-f-]{36}$", "/ID", link)
            if place not in seen and not NOT_PAGES.match(link) and len(link.split("/")) <= 3:
                seen.add(place)
                waiting.append(link)
    assert wanted - seen == set()
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        for name in ("rollbacks", "changes", "capacity"):
            page.goto(f"/{name}")
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (name, width)
            if PICTURES:
                page.screenshot(path=Path(PICTURES) / f"{name}-{width}.png", full_page=True)
