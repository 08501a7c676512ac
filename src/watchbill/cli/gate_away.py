"""The gate while Watchbill does not answer: which door holds, and telling afterwards what was decided.

Kept on this machine under ``$XDG_STATE_HOME/watchbill`` (``~/.local/state``): the door that each service's policy had
at the last answer, and the answers that the ledger does not have yet.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Literal

import msgspec

from watchbill.cli.client import Client, path_part
from watchbill.kernel.errors import Unavailable, WatchbillError

Door = Literal["open", "closed"]
MOST_NOTES = 100


def remember_door(service: str, environment: str, door: str) -> None:
    """Keep what the service's policy says of Watchbill being away; a machine that keeps nothing goes without."""
    doors = _doors()
    key = f"{service} {environment}"
    if doors.get(key) == door:
        return
    path = _state("gate-doors.json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(f".{os.getpid()}")
        scratch.write_bytes(msgspec.json.encode({**doors, key: door}))
        scratch.replace(path)
    except OSError as error:
        sys.stderr.write(f"the policy's door is not remembered: {error}\n")


def door_of(service: str, environment: str) -> tuple[Door, str]:
    """The door while nobody answers, and where it is known from."""
    known = _doors().get(f"{service} {environment}")
    if known in ("open", "closed"):
        return ("open" if known == "open" else "closed"), "by the policy of its last answer"
    return "open", "no policy is known here"


def keep_note(note: dict[str, Any]) -> bool:
    """Write an answer down for the ledger; False (and said) where this machine keeps nothing."""
    try:
        _write([note])
    except OSError as error:
        sys.stderr.write(f"this answer is not recorded: {error}\n")
        return False
    return True


def tell_notes(client: Client) -> None:
    """Send the answers given while Watchbill was away. What it refuses is dropped, and said; if it is away again,
    they are kept.
    """
    path = _state("gate-away.jsonl")
    try:
        taken = path.with_suffix(f".{os.getpid()}")
        path.replace(taken)
        lines = taken.read_bytes().splitlines()
        taken.unlink()
    except OSError:
        return  # nothing was kept, or another command is sending it
    left = lines[-MOST_NOTES:]
    while left:
        try:
            note = msgspec.json.decode(left[0], type=dict[str, Any])
            client.post(f"/api/v1/gate/{path_part(note.pop('service'))}/away", note)
        except Unavailable:
            _write([msgspec.json.decode(line) for line in left])
            return
        except (WatchbillError, msgspec.MsgspecError, KeyError) as error:
            sys.stderr.write(f"an answer given while Watchbill was away is not in the ledger: {error}\n")
        left = left[1:]


def _write(notes: list[dict[str, Any]]) -> None:
    path = _state("gate-away.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(b"".join(msgspec.json.encode(note) + b"\n" for note in notes))


def _doors() -> dict[str, str]:
    try:
        return msgspec.json.decode(_state("gate-doors.json").read_bytes(), type=dict[str, str])
    except (OSError, msgspec.MsgspecError):
        return {}  # nothing was asked from here yet


def _state(name: str) -> Path:
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "watchbill" / name
