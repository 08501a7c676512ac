"""Every example of docs/sdk is run: servers by the framework's own server, clients over real sockets."""

from __future__ import annotations

import asyncio
import doctest
import re
import socket
import subprocess
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
import uvicorn

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "sdk"
README = FOLDER.parents[1] / "sdk" / "README.md"
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, info: str) -> str:
    return "\n".join(body for found, body in FENCE.findall(page.read_text(encoding="utf-8")) if found == info)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def asgi(module: types.ModuleType, port: int) -> Iterator[None]:
    server = uvicorn.Server(uvicorn.Config(module.app, host="127.0.0.1", port=port, log_config=None, ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.005)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@contextmanager
def wsgi(app: Any, port: int, kind: type[WSGIServer] = WSGIServer) -> Iterator[None]:
    with make_server("127.0.0.1", port, app, kind, _Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join(10)


@contextmanager
def werkzeug(module: types.ModuleType, port: int) -> Iterator[None]:
    """Flask's own server."""
    from werkzeug.serving import make_server as make_werkzeug

    server = make_werkzeug("127.0.0.1", port, module.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


@contextmanager
def django_servers(module: types.ModuleType, port: int) -> Iterator[None]:
    """ASGI on uvicorn, and WSGI on the server of ``manage.py runserver``."""
    from django.core.servers.basehttp import ThreadedWSGIServer

    with asgi(module, port), wsgi(module.wsgi, module.second_port, ThreadedWSGIServer):
        yield


@contextmanager
def aiohttp_web(module: types.ModuleType, port: int) -> Iterator[None]:
    from aiohttp import web

    ready, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        runner = web.AppRunner(module.app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        ready.set()
        await asyncio.to_thread(stop.wait)
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


@contextmanager
def grpc_servers(module: types.ModuleType, port: int) -> Iterator[None]:
    ready, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(module.serve(ready, stop)))
    thread.start()
    assert ready.wait(10)
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
        module.server.stop(0).wait(10)


SERVERS: dict[str, Callable[[types.ModuleType, int], Any]] = {
    "aiohttp": aiohttp_web,
    "django": django_servers,
    "fastapi": asgi,
    "flask": werkzeug,
    "grpc": grpc_servers,
    "httpx": asgi,
    "litestar": asgi,
    "requests": asgi,
    "starlette": asgi,
}


@contextmanager
def served(name: str, run: Callable[[types.ModuleType, int], Any]) -> Iterator[tuple[types.ModuleType, dict[str, str]]]:
    """The page's service, on ports of its own."""
    first, second = free_ports(2)
    ports = {":8000": f":{first}", ":8001": f":{second}"}
    module = types.ModuleType(f"guide_{name}")
    module.__dict__["second_port"] = second
    sys.modules[module.__name__] = module
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # what frameworks say about each other
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            exec(
                compile(changed(blocks(FOLDER / f"{name}.md", "python server"), ports), f"docs/sdk/{name}.md", "exec"),
                module.__dict__,
            )
        with run(module, first):
            yield module, ports
    finally:
        del sys.modules[module.__name__]


def changed(text: str, ports: dict[str, str]) -> str:
    for old, new in ports.items():
        text = text.replace(old, new)
    return text


def run_session(name: str, text: str) -> None:
    test = doctest.DocTestParser().get_doctest(text, {}, f"docs/sdk/{name}.md", None, 0)
    said: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # a session in a guide is not closed for brevity
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False).run(test, out=said.append)
    assert not said, "".join(said)


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_the_guide_of_a_framework_is_true_against_its_real_server(name: str) -> None:
    with served(name, SERVERS[name]) as (_, ports):
        run_session(name, changed(blocks(FOLDER / f"{name}.md", "pycon client"), ports))


@pytest.mark.parametrize("page", ["primitives", "drills"])
def test_a_guide_without_a_server_is_true(page: str) -> None:
    run_session(page, blocks(FOLDER / f"{page}.md", "pycon"))


def test_the_guide_to_starting_and_the_readme_are_true_in_a_process_of_their_own() -> None:
    port = free_ports(1)[0]
    start, readme = (changed(blocks(page, "python"), {"8081": str(port)}) for page in (FOLDER / "start.md", README))
    asks = (
        "import types, urllib.request\n"
        f"cache = types.SimpleNamespace(loaded=True)\n{start}\n{readme}\n"
        f"print(urllib.request.urlopen('http://127.0.0.1:{port}/readyz').read().decode())\n"
        "print(sorted(line.primitive for line in wb.evidence()), wb.setup('orders').problems)\n"
    )
    ran = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert '{"cache warm": "ok"}' in ran.stdout
    assert "['breaker', 'bulkhead', 'retry', 'timeout'] ()" in ran.stdout


def test_every_guide_is_run() -> None:
    pages = {path.stem for path in FOLDER.glob("*.md")}
    assert pages == {*SERVERS, "primitives", "drills", "start", "index"}
