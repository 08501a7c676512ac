"""What OpenSLO v1 cannot say, in annotations: alerts over two windows, and where an SLO belongs in Watchbill.

``watchbill/alerts``: ``page 14.4x over 1h and 5m; ticket 3x over 1d and 2h``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from watchbill.manifest.openslo.place import Place
from watchbill.manifest.openslo.rules import span
from watchbill.manifest.openslo.spec import Alert

ALERTS = "watchbill/alerts"
TELL = "watchbill/notify"
OWNER = "watchbill/owner"
TIER = "watchbill/tier"
SERVICE = "watchbill/service"
OPERATION = "watchbill/operation"
OBJECTIVE = "watchbill/objective"
KNOWN = (ALERTS, TELL, OWNER, TIER, SERVICE, OPERATION, OBJECTIVE)
_ONE = re.compile(
    r"(?P<tier>page|ticket)\s+(?P<burn>[0-9]+(?:\.[0-9]+)?)x\s+over\s+(?P<long>[1-9][0-9]*[mhdw])"
    r"(?:\s+and\s+(?P<short>[1-9][0-9]*[mhdw]))?"
)


def write_alerts(alerts: Sequence[Alert]) -> str:
    """The value of ``watchbill/alerts``."""
    return "; ".join(
        f"{one.tier} {one.burn.normalize():f}x over {one.long}{f' and {one.short}' if one.short else ''}"
        for one in alerts
    )


def take(place: Place, written: Mapping[str, str]) -> tuple[list[Alert] | None, list[str] | None, dict[str, str]]:
    """The alerts and whom to tell, as annotations say (None: nothing), and the annotations without them."""
    rest = dict(written)
    text, tell = rest.pop(ALERTS, None), rest.pop(TELL, None)
    names = None if tell is None else [name.strip() for name in tell.split(",") if name.strip()]
    for key in rest:
        if key.startswith("watchbill/") and key not in KNOWN:
            path = ("metadata", "annotations", key)
            place.lint("openslo.annotation", f"'{key}' means nothing to Watchbill", path, f"known: {', '.join(KNOWN)}")
    if text is None:
        return None, names, rest
    alerts: list[Alert] = []
    for part in text.split(";"):
        found = _ONE.fullmatch(part.strip())
        if found is None:
            path = ("metadata", "annotations", ALERTS)
            hint = "write page 14.4x over 1h and 5m; ticket 3x over 1d and 2h"
            place.note("openslo.annotation", f"'{part.strip()}' is no alert", path, hint)
            continue
        alerts.append(
            Alert(
                tier="page" if found["tier"] == "page" else "ticket",
                burn=Decimal(found["burn"]),
                long=span(found["long"]),
                short=span(found["short"]) if found["short"] else None,
            )
        )
    return alerts, names, rest
