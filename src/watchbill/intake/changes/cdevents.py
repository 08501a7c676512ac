"""CloudEvents 1.0 over HTTP, structured, binary and batched, carrying CDEvents of services and flags.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
https://cdevents.dev/docs/continuous-deployment/ (service deployed, upgraded, rolledback, removed, published)
"""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import unquote

import msgspec

from watchbill.features.changes import KINDS, ChangeKind, ChangeReport
from watchbill.intake.changes.base import Headers, Parsed, Told, environment_of, instant, json_object, link, part, text
from watchbill.kernel.errors import Invalid

_KINDS: dict[str, tuple[ChangeKind, Literal["started", "finished"]]] = {
    "service.deployed": ("deploy", "finished"),
    "service.upgraded": ("deploy", "finished"),
    "service.rolledback": ("rollback", "finished"),
    "service.removed": ("config", "finished"),
    "environment.modified": ("config", "finished"),
}
MOST_IN_BATCH = 1000
_OWN = {f"watchbill.change.{state}": state for state in ("started", "finished", "failed", "cancelled")}


def parse(body: bytes, headers: Headers) -> Parsed:
    """The change of a CDEvent, or of an event of type ``watchbill.change.<state>`` whose data are the API's fields.

    Raises:
        Invalid: no CloudEvent: the attributes id, source and type are required.
    """
    if headers.get("content-type", "").startswith("application/cloudevents-batch+json"):
        found = [_change(_bare(event)) for event in _batch(body)]
        ignored = "; ".join(one.ignored for one in found if one.ignored)[:500]
        return Parsed(told=tuple(told for one in found for told in one.told), ignored=ignored)
    return _change(_attributes(body, headers))


def _batch(body: bytes) -> list[dict[str, Any]]:
    try:
        found = msgspec.json.decode(body, type=list[dict[str, Any]])
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid(f"the body is not a JSON array of events: {error}", code="bad_body") from error
    if len(found) > MOST_IN_BATCH:
        raise Invalid(f"a batch has at most {MOST_IN_BATCH} events", code="bad_body", hint="send several")
    return found


def _change(event: dict[str, Any]) -> Parsed:
    type, id, source = text(event, "type"), text(event, "id"), text(event, "source")
    if type is None or id is None or source is None:
        raise Invalid(
            "a CloudEvent needs id, source and type",
            code="bad_cloudevent",
            hint="send them as ce-id, ce-source and ce-type, or a body of application/cloudevents+json",
        )
    data = part(event, "data")
    if type in _OWN:
        return _own(data, _OWN[type], event, f"{source}#{id}")
    words = type.removeprefix("dev.cdevents.").split(".")
    known = _KINDS.get(".".join(words[:2]))
    if not type.startswith("dev.cdevents.") or known is None:
        return Parsed(ignored=f"the type '{type[:80]}' is not one of a change")
    subject = part(data, "subject")
    content = part(subject, "content")
    service = (text(subject, "id") or "").rpartition("/")[2]
    if not service:
        return Parsed(ignored="the event names no service as its subject")
    artifact = text(content, "artifactId")
    kind, state = known
    report = ChangeReport(
        service=service,
        state=state,
        kind=kind,
        environment=environment_of((text(part(content, "environment"), "id") or "").rpartition("/")[2] or None),
        external_id=f"{source}#{id}"[:500],
        version=_version(artifact),
        occurred_at=instant(part(data, "context").get("timestamp") or event.get("time")),
        links=link("Source", source),
    )
    return Parsed(told=(Told(report=report, named=True),))


def _attributes(body: bytes, headers: Headers) -> dict[str, Any]:
    """The event's attributes with ``data``, whichever way it came. A bare CDEvent has them in its context."""
    if headers.get("content-type", "").startswith("application/cloudevents+json") or "ce-type" not in headers:
        return _bare(json_object(body))
    found: dict[str, Any] = {name[3:]: value for name, value in headers.items() if name.startswith("ce-")}
    return {**found, "data": json_object(body)}


def _bare(event: dict[str, Any]) -> dict[str, Any]:
    if "context" in event and "subject" in event:
        return {**part(event, "context"), "data": event}
    return event


def _own(data: dict[str, Any], state: Any, event: dict[str, Any], id: str) -> Parsed:
    service = text(data, "service")
    if service is None:
        raise Invalid("the data name no service", code="bad_cloudevent", field="data.service")
    kind = text(data, "kind") or "deploy"
    known = next((each for each in KINDS if each == kind), None)
    if known is None:
        raise Invalid(f"'{kind[:40]}' is not a kind of change", code="bad_cloudevent", field="data.kind")
    report = ChangeReport(
        service=service,
        state=state,
        kind=known,
        environment=environment_of(text(data, "environment")),
        external_id=(text(data, "id") or id)[:500],
        title=text(data, "title"),
        version=text(data, "version"),
        previous_version=text(data, "previous_version"),
        author=text(data, "author"),
        approver=text(data, "approver"),
        is_fix=True if data.get("is_fix") is True else None,
        occurred_at=instant(event.get("time")),
    )
    return Parsed(told=(Told(report=report, named=True),))


def _version(artifact: str | None) -> str | None:
    """The version of a package URL: ``pkg:oci/shop@sha256%3Aabc?tag=1.2`` is its tag, else what follows the @."""
    if artifact is None:
        return None
    path, _, query = artifact.partition("?")
    for pair in query.partition("#")[0].split("&"):
        if pair.startswith("tag="):
            return unquote(pair[4:])[:200] or None
    _, at, version = path.rpartition("@")
    return unquote(version)[:200] if at else artifact[:200]
