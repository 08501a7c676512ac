"""Listening sockets: bound once, handed down by the supervisor, so that a restart refuses nobody."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping

from watchbill.kernel.errors import SetupError

LISTEN_FD = "WATCHBILL_LISTEN_FD"


def bind(host: str, port: int, *, setting: str) -> socket.socket:
    """Listen on ``host:port`` (0: any free port).

    Raises:
        SetupError: the port is taken or not allowed; ``setting`` names what to change.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except (OSError, OverflowError) as error:
        listener.close()
        number = getattr(error, "errno", None)
        if number == errno.EADDRINUSE:
            what = f"port {port} on {host} is taken by another program"
            hint = f"choose another with {setting}; `ss -ltnp 'sport = :{port}'` shows who has it"
        elif number in {errno.EACCES, errno.EPERM}:
            what, hint = f"port {port} on {host} is not allowed for this user", f"choose one above 1023 with {setting}"
        else:
            what, hint = f"cannot listen on {host}:{port}: {error}", f"mend WATCHBILL_HOST or {setting}"
        raise SetupError(what, code="port", hint=hint) from error
    return listener


def inherited(environment: Mapping[str, str] | None = None) -> socket.socket | None:
    """The socket that the supervisor handed down; None when nobody did."""
    number = (os.environ if environment is None else environment).get(LISTEN_FD)
    if not number:
        return None
    return socket.socket(fileno=int(number))


def address_of(listener: socket.socket) -> str:
    """``http://host:port`` of a listening socket, as this machine reaches it."""
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104  the opposite of binding: an address to connect to
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
