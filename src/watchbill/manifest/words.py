"""The small types that manifests are made of. ``extra["expected"]`` is how an error names one."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

API_VERSION = "watchbill/v1"


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """Base of everything in a manifest: unknown keys are errors, keys are camelCase."""


Name = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$",
        description="Lower-case letters, digits, '-', '_' and '.'; at most 63 characters.",
        extra={"expected": "a name of lower-case letters, digits, '-', '_' and '.' (at most 63), such as payments"},
    ),
]

Text = Annotated[str, Meta(min_length=1, max_length=200, extra={"expected": "a short text, from 1 to 200 characters"})]

Login = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9._%+@-]{0,252}[A-Za-z0-9])?$",
        description="How the person signs in; a work e-mail is one.",
        extra={"expected": "a login, such as alice@example.org"},
    ),
]

Duration = Annotated[
    str,
    Meta(
        pattern=r"^([0-9]+(ms|[smhdw]))+$",
        description="A duration such as 90s, 5m, 1h30m, 30d or 4w.",
        extra={"expected": "a duration such as 90s, 5m, 1h30m or 30d"},
    ),
]

Url = Annotated[
    str,
    Meta(
        pattern=r"^https?://\S+$",
        max_length=2000,
        extra={"expected": "an address that begins with https://"},
    ),
]

Percent = Annotated[
    Decimal, Meta(description="A percent, kept exactly as written.", extra={"expected": "a percent such as 99.9"})
]

Tier = Annotated[
    int,
    Meta(
        ge=1,
        le=4,
        description="How critical the service is, from 1 (users are hurt at once) to 4.",
        extra={"expected": "a number from 1 (most critical) to 4"},
    ),
]

Environment = Name

Role = Literal["lead", "member", "shadow"]

Source = Annotated[
    str,
    Meta(
        pattern=r"^(clickhouse|otlp|probes|prometheus:[A-Za-z0-9][A-Za-z0-9._-]{0,61})$",
        description="A source of counts.",
        extra={"expected": "clickhouse, otlp, probes, or prometheus: and a server's name, such as prometheus:default"},
    ),
]
