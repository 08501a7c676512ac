"""The way out is guarded: no loopback, private or metadata address, by name, by redirect or by disguise."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from watchbill.runtime import http_out
from watchbill.runtime.http_out import AddressForbidden, HttpOut


class Target(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/away":
            self.send_response(302)
            self.send_header("location", "http://169.254.169.254/latest/meta-data/")
            self.send_header("content-length", "0")
            self.end_headers()
            return
        body = b"x" * 5000
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(201)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def target() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Target)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client() -> Iterator[HttpOut]:
    client = HttpOut(allow_private=True, max_body_bytes=1000)
    yield client
    client.close()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fe80::1",
        "fd00::1",
    ],
)
def test_an_address_inside_is_refused(address: str) -> None:
    with pytest.raises(AddressForbidden):
        http_out.check_address(address, allow_private=False)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
def test_an_address_outside_is_let_through(address: str) -> None:
    http_out.check_address(address, allow_private=False)


def test_cloud_metadata_is_refused_even_where_private_addresses_are_allowed() -> None:
    http_out.check_address("10.0.0.1", allow_private=True)
    with pytest.raises(AddressForbidden):
        http_out.check_address("169.254.169.254", allow_private=True)


@pytest.mark.parametrize("url", ["http://localhost:1/", "http://127.1:1/", "http://2130706433:1/", "http://[::1]:1/"])
def test_every_spelling_of_loopback_is_refused_before_a_connection(url: str) -> None:
    client = HttpOut()
    with pytest.raises(AddressForbidden, match="loopback"):
        client.request("GET", url)
    client.close()


def test_only_http_is_spoken(client: HttpOut) -> None:
    with pytest.raises(AddressForbidden, match="not an http or https URL"):
        client.request("GET", "file:///etc/passwd")


def test_a_redirect_is_checked_like_the_first_address(client: HttpOut, target: str) -> None:
    with pytest.raises(AddressForbidden, match=r"169\.254\.169\.254"):
        client.request("GET", f"{target}/away")


def test_a_long_answer_is_cut(client: HttpOut, target: str) -> None:
    answer = client.request("GET", target)
    assert (answer.status, len(answer.body)) == (200, 1000)


def test_a_post_carries_its_json(client: HttpOut, target: str) -> None:
    answer = client.request("POST", target, json={"page": 1})
    assert (answer.status, answer.text) == (201, '{"page":1}')


def test_nobody_listening_is_an_httpx_error(client: HttpOut) -> None:
    with pytest.raises(httpx.ConnectError):
        client.request("GET", "http://127.0.0.1:1/")
