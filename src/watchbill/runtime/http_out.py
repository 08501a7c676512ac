"""HTTP to the outside: the one client for URLs that people typed in, guarded against SSRF.

The host is resolved first, every forbidden address is refused, and the connection goes to the very
address that was checked, so that a name which changes its answer (DNS rebinding) gains nothing.
Redirects are followed by hand, each hop checked the same way. Proxies of the environment are not
used: a proxy would resolve the name again. (OWASP: Server Side Request Forgery Prevention.)
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from typing import Any

import httpcore
import httpx
import msgspec

from watchbill.kernel.errors import Invalid

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_METADATA = frozenset({"169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254"})
"""Cloud metadata services: refused even where private addresses are allowed."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class AddressForbidden(Invalid):
    """The address may not be reached from here."""

    code = "address_forbidden"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back; ``body`` is cut at the limit."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class HttpOut:
    """A guarded client with its own connections; safe to use from several threads.

    Args:
        allow_private: let loopback, private and link-local addresses through (never cloud metadata).
        timeout_seconds: of the whole exchange, redirects included.
        max_body_bytes: how much of an answer is read.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        timeout_seconds: float = 10.0,
        max_body_bytes: int = 1024 * 1024,
        connections: int = 20,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._max_body_bytes = max_body_bytes
        transport = httpx.HTTPTransport(trust_env=False)
        transport._pool = httpcore.ConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=30.0,
            network_backend=_CheckedNetwork(allow_private=allow_private),
        )
        self._client = httpx.Client(
            transport=transport,
            timeout=httpx.Timeout(timeout_seconds, connect=min(5.0, timeout_seconds)),
            follow_redirects=False,
            trust_env=False,
            headers={"user-agent": "watchbill"},
        )

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        json: Any = None,
        most_redirects: int = 3,
    ) -> Answer:
        """Send one request; a redirect of a POST is followed only when it keeps the method (307, 308).

        Raises:
            Forbidden: the URL is not http(s), or its host is an address that may not be reached.
            httpx.HTTPError: no answer (connection, time limit, protocol).
        """
        deadline = time.monotonic() + self._timeout_seconds
        target = httpx.URL(url)
        sent = dict(headers or {})
        if json is not None:
            content = msgspec.json.encode(json)
            sent.setdefault("content-type", "application/json")
        for hop in range(most_redirects + 1):
            if target.scheme not in {"http", "https"} or not target.host:
                raise AddressForbidden(f"'{target}' is not an http or https URL", hint="write https://host/path")
            answer, location = self._once(method, target, headers=sent, content=content, deadline=deadline)
            if location is None or hop == most_redirects:
                return answer
            following = target.join(location)
            if method not in {"GET", "HEAD"} and answer.status not in {307, 308}:
                return answer
            if (following.scheme, following.host, following.port) != (target.scheme, target.host, target.port):
                sent = {name: value for name, value in sent.items() if name.lower() not in {"authorization", "cookie"}}
            target = following
        raise AssertionError("unreachable")

    def _once(
        self, method: str, url: httpx.URL, *, headers: Mapping[str, str], content: bytes | None, deadline: float
    ) -> tuple[Answer, str | None]:
        left = deadline - time.monotonic()
        if left <= 0:
            raise httpx.ReadTimeout(f"no whole answer within {self._timeout_seconds:g} s")
        with self._client.stream(method, url, headers=headers, content=content, timeout=left) as response:
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) >= self._max_body_bytes:
                    break
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout(f"no whole answer within {self._timeout_seconds:g} s")
            answer = Answer(
                status=response.status_code,
                headers=dict(response.headers),
                body=bytes(body[: self._max_body_bytes]),
            )
            return answer, response.headers.get("location") if response.status_code in _REDIRECTS else None

    def close(self) -> None:
        """Close every connection."""
        self._client.close()


def check_address(address: str, *, allow_private: bool) -> None:
    """Refuse an IP address that a person's URL must not reach.

    IPv4 inside IPv6 (mapped, NAT64, 6to4) is judged as the IPv4 it is.

    Raises:
        AddressForbidden: with the setting that allows it, where there is one.
    """
    parsed = ipaddress.ip_address(address.split("%", 1)[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        elif parsed in _NAT64:
            parsed = ipaddress.IPv4Address(int(parsed) & 0xFFFF_FFFF)
        elif parsed.sixtofour is not None:
            parsed = parsed.sixtofour
    if str(parsed) in _METADATA or parsed.is_multicast or parsed.is_unspecified:
        raise AddressForbidden(f"{address} may not be reached from here", hint="use the address of the service itself")
    if not parsed.is_global and not allow_private:
        raise AddressForbidden(
            f"{address} is a loopback, private or link-local address",
            hint="set WATCHBILL_ALLOW_PRIVATE_ADDRESSES=true if notifications may reach your own network",
        )


def resolve(host: str, port: int, *, allow_private: bool) -> list[str]:
    """The addresses of ``host``; one forbidden address among them refuses the whole name.

    Raises:
        AddressForbidden: see `check_address`.
        OSError: the name is unknown.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        check_address(address, allow_private=allow_private)
    return addresses


class _CheckedNetwork(httpcore.NetworkBackend):
    """httpcore's own sockets, opened to addresses that were checked a moment ago."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses = resolve(host, port, allow_private=self._allow_private)
        except OSError as error:
            raise httpcore.ConnectError(f"cannot resolve {host}: {error}") from error
        failure: Exception | None = None
        for address in addresses:
            try:
                return self._sockets.connect_tcp(
                    address, port, timeout=timeout, local_address=local_address, socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError(f"{host} has no address")

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002  httpcore's signature
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        raise AddressForbidden(f"'{path}' is a local socket", hint="write https://host/path")

    def sleep(self, seconds: float) -> None:
        self._sockets.sleep(seconds)
