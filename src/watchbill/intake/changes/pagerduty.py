"""PagerDuty change events: ``POST /v2/change/enqueue``.

https://developer.pagerduty.com/docs/send-change-events
``{routing_key, payload: {summary, source, timestamp, custom_details}, links: [{href, text}]}``; never pages.
"""

from __future__ import annotations

import hashlib
from typing import Any

from watchbill.features.alerts import Link
from watchbill.features.changes import ChangeReport
from watchbill.intake.changes.base import Parsed, Told, environment_of, instant, link, objects_in, part, text
from watchbill.kernel.errors import Invalid


def parse(data: dict[str, Any], body: bytes) -> Parsed:
    """The finished change that an event tells of; details may name service, version, environment and author.

    Raises:
        Invalid: no summary.
    """
    payload = part(data, "payload")
    summary = text(payload, "summary")
    if summary is None:
        raise Invalid("payload.summary is required", code="bad_change_event", field="payload.summary")
    details = part(payload, "custom_details")
    service = text(details, "service", "service_name")
    links: list[Link] = []
    for each in objects_in(data, "links"):
        links += link(text(each, "text") or "Link", text(each, "href"))
    report = ChangeReport(
        service=service or text(payload, "source") or "unknown",
        state="finished",
        environment=environment_of(text(details, "environment", "env")),
        external_id=hashlib.sha256(body).hexdigest(),
        title=summary,
        version=text(details, "version", "build", "release"),
        author=text(details, "author", "user"),
        occurred_at=instant(payload.get("timestamp")),
        links=links,
    )
    return Parsed(told=(Told(report=report, named=service is not None),))
