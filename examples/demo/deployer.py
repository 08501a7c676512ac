"""The shop's deployer: one HTTP address on loopback that puts a version of a service in place of the running one.

It stands for your own deployment system; Watchbill's runner calls it through the command of the manifest.
"""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer


class Deployer:
    """Answers one deployment after the other, all on one thread: the kernel ends its services with that thread."""

    def __init__(self, port: int, release: Callable[[str, str], None]) -> None:
        deployer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                status, said = deployer.handle(self.rfile.read(int(self.headers.get("content-length", "0"))))
                body = (said + "\n").encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """The demo tells its own story."""

        self._release = release
        self._server = HTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="deployer", daemon=True)
        self.url = f"http://127.0.0.1:{port}/"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()

    def ask(self, service: str, version: str) -> tuple[int, str]:
        """Deploy over HTTP, as everybody does."""
        body = json.dumps({"service": service, "version": version}).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url, data=body), timeout=45) as answer:
                return answer.status, answer.read().decode().strip()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode().strip()

    def handle(self, body: bytes) -> tuple[int, str]:
        """The status and the words of one deployment."""
        try:
            wanted = json.loads(body)
            service, version = str(wanted["service"]), str(wanted["version"])
        except (ValueError, KeyError, TypeError):
            return 400, 'send {"service": …, "version": …}'
        if service != "payments" or version not in ("v1", "v2"):
            return 404, f"there is no {service} {version} to deploy"
        try:
            self._release(service, version)
        except Exception as error:  # noqa: BLE001  whoever deploys is told, whatever it was
            return 500, f"{service} {version} did not come up: {error}"
        return 200, f"{service} {version} serves"
