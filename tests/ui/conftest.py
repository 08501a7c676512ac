"""The real server process over a real PostgreSQL, and the system's Chromium that looks at it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from tests.ui import seed
from watchbill.runtime.db import Database

CHROMIUM = os.environ.get("WATCHBILL_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

SignIn = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One a module, not one a run: while Playwright is up, this thread has a running loop, and a test of another
    module that calls `asyncio.run` on it would fail."""
    if CHROMIUM is None:
        reason = "there is no Chromium: `apt-get install chromium`, or set WATCHBILL_TEST_CHROMIUM to one"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def shop(long_lived_database: tuple[str, Callable[[], None]]) -> Iterator[Database]:
    """The server's database with the seeded shop in it, and nothing else."""
    url, empty = long_lived_database
    empty()
    database = Database(url, name="test")
    seed.seed(database)
    yield database
    database.dispose()


@pytest.fixture(scope="session")
def server(
    long_lived_database: tuple[str, Callable[[], None]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a server process, one for all tests of a worker: it keeps nothing of its own."""
    database_url, _ = long_lived_database
    tmp_path = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (tmp_path / "server.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "watchbill.cli.app", "run", "server"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "WATCHBILL_DATABASE_URL": database_url,
            "WATCHBILL_HOME": str(tmp_path),
            "WATCHBILL_PORT": str(port),
            "WATCHBILL_SECRET_KEY": "for-the-browser-tests-only-" + "k" * 20,
            "WATCHBILL_LOG_FORMAT": "json",
        },
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _await(url, process, tmp_path / "server.log")
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"the server did not start:\n{log.read_text()[-3000:]}")


class Faults:
    """What a page must not do: complain, break the content policy, or ask anybody else for anything."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.found: list[str] = []

    def watch(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.found.append(f"error: {error}"))
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.found.append(f"{message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.origin, "data:", "blob:")):
            self.found.append(f"left the origin: {request.url}")


@pytest.fixture
def sign_in(browser: Browser, server: str) -> Iterator[SignIn]:
    """``sign_in("alice@example.org", width=360)`` is a page that has signed in; faults fail the test at its end."""
    contexts: list[BrowserContext] = []
    faults = Faults(server)

    def enter(
        login: str = "alice@example.org", *, width: int = 1280, height: int = 860, dark: bool = False, to: str = "/"
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            base_url=server,
            has_touch=width < 500,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        faults.watch(page)
        page.goto(f"/sign-in?next={to}")
        page.fill("#login", login)
        page.fill("#password", seed.PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.wait_for_url(f"{server}{to}")
        page.wait_for_selector(".livestate[data-state=live]", state="attached")
        return page

    yield enter
    for context in contexts:
        context.close()
    assert faults.found == []


@pytest.fixture
def browser_page(browser: Browser, server: str, shop: Database) -> Iterator[Page]:
    """A page of nobody yet."""
    del shop
    context = browser.new_context(base_url=server)
    page = context.new_page()
    page.set_default_timeout(10_000)
    yield page
    context.close()
