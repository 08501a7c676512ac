"""What every change format gives, and small readers of what people's tools send."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from watchbill.features.alerts import Link
from watchbill.features.changes import ChangeReport
from watchbill.kernel.clock import parse_instant
from watchbill.kernel.errors import Invalid


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One report. ``named``: the sender names the service itself; else the integration's own service, or the one
    whose ``repository`` this is, stands for it. ``only_known``: it adds to a change, and is none by itself.
    """

    report: ChangeReport
    named: bool = False
    repository: str | None = None
    only_known: bool = False


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """The reports of one delivery (none when it says nothing of a change, and ``ignored`` says why).

    ``sent_at`` is the sender's signed time of the delivery, where the format has one.
    """

    told: tuple[Told, ...] = ()
    ignored: str = ""
    sent_at: datetime | None = None


Headers = Mapping[str, str]
"""Names in lower case."""


def json_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object.

    Raises:
        Invalid: it is none.
    """
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise Invalid(f"the body is not a JSON object: {error}", code="bad_body") from error
    except RecursionError as error:
        raise Invalid("the body is nested too deeply", code="bad_body") from error


def part(data: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The mapping at that path; empty where there is none."""
    for name in names:
        found = data.get(name)
        data = found if isinstance(found, dict) else {}
    return dict(data)


def objects_in(data: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The mappings of the list at that key; none where there is no list."""
    found = data.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def text(data: Mapping[str, Any], *names: str) -> str | None:
    """The first of these keys that holds a text or number with something in it."""
    for name in names:
        value = data.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return str(value).strip()
    return None


def instant(value: Any) -> datetime | None:
    """RFC 3339, GitLab's ``2021-04-28 21:50:00 +0200``, or Unix seconds; None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC) if 0 < value < 4e9 else None
    if not isinstance(value, str):
        return None
    spelled = re.sub(r"^(\S+) (\S+) (UTC|[+-]\d{4})$", r"\1T\2\3", value.strip()).replace("UTC", "+00:00")
    try:
        return parse_instant(spelled)
    except ValueError:
        return None


def link(title: str, url: str | None) -> list[Link]:
    """A link where there is an address."""
    return [Link(title=title, url=url[:2048])] if url and url.startswith(("http://", "https://")) else []


def environment_of(name: str | None) -> str:
    """``prod`` and the like mean production; the rest in lower case; production when nothing is said."""
    spelled = (name or "production").strip().lower()[:63]
    return "production" if spelled in {"prod", "production", "live", "prd"} else spelled
