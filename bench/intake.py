"""How many alerts a second become durable: new ones and re-sent ones in Prometheus' batches, and events one by one.

Prediction: a batch of 64 new alerts is about ten statements, so some 3,000 new alerts/s; a re-send writes
one row each and no ledger entry, about 5,000/s; single events pay a commit each, about 300/s on two cores.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from bench._stack import MANIFEST, Connection, Stack, running
from bench.results import Result

NAMES = ("intake_new", "intake_resend", "intake_single")
BATCH = 64
SECONDS = 6.0
SENDERS = 4


def run() -> list[Result]:
    """Rates over six seconds each, four senders, with the pager routing at the same time."""
    with running() as stack:
        manifest = stack.home.parent / "watchbill.yaml"
        manifest.write_text(MANIFEST)
        stack.cli("apply", str(manifest))
        prometheus = stack.cli("integration", "create", "prom", "--format", "prometheus")["key"]
        events = stack.cli("integration", "create", "ours", "--format", "events")["key"]
        path = f"/in/{prometheus}/api/v2/alerts"
        resend = asyncio.run(_rate(stack, path, lambda _: _batch(0), per_request=BATCH))
        single = asyncio.run(_rate(stack, "/api/v1/events", _single, per_request=1, bearer=events))
        new = asyncio.run(_rate(stack, path, _batch, per_request=BATCH))
    return [
        Result(name="intake_new", value=new, unit="alerts/s", better="higher", limit="own aim", limit_value=1000),
        Result(name="intake_resend", value=resend, unit="alerts/s", better="higher", limit="own aim", limit_value=3000),
        Result(name="intake_single", value=single, unit="events/s", better="higher", limit="own aim", limit_value=150),
    ]


def _batch(number: int) -> bytes:
    ends = (datetime.now(UTC) + timedelta(minutes=4)).isoformat()
    alerts = [
        {
            "labels": {"alertname": "Bench", "instance": f"{number}-{i}", "service": "payments", "severity": "warning"},
            "annotations": {"summary": "bench"},
            "endsAt": ends,
        }
        for i in range(BATCH)
    ]
    return msgspec.json.encode(alerts)


def _single(number: int) -> bytes:
    return msgspec.json.encode(
        {"identity": f"single-{number}", "title": "bench", "service": "payments", "urgency": "ticket"}
    )


async def _rate(
    stack: Stack, path: str, body_of: Callable[[int], bytes], *, per_request: int, bearer: str = ""
) -> float:
    sent = 0
    began = time.perf_counter()

    async def sender(first: int) -> None:
        nonlocal sent
        connection = Connection(stack.port)
        number = first
        while time.perf_counter() - began < SECONDS:
            status = await connection.post(path, body_of(number), bearer=bearer)
            assert status in (200, 202), status
            sent += per_request
            number += SENDERS

    await asyncio.gather(*(sender(1 + first) for first in range(SENDERS)))
    return sent / (time.perf_counter() - began)
