"""Whatever is sent to an address for changes is a report, passed over with a reason, or refused: never a crash."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.features.changes import SeenDeployment
from watchbill.intake.changes import argocd, cdevents, flux, github, gitlab, pagerduty
from watchbill.intake.changes.base import Parsed
from watchbill.intake.changes.http import FORMATS
from watchbill.intake.kubernetes import objects
from watchbill.kernel.errors import Invalid

SHAPES: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "github": (
        {"x-github-event": "deployment_status"},
        {"deployment": {"id": 1, "sha": "ab", "payload": {"service": "s"}, "created_at": "2026-03-02T09:00:00Z"},
         "deployment_status": {"state": "success", "updated_at": 5}, "repository": {"name": "r"}},
    ),
    "github review": (
        {"x-github-event": "deployment_review"},
        {"action": "approved", "approver": {"login": "a"}, "workflow_run": {"head_sha": "ab", "id": 1},
         "workflow_job_runs": [{"environment": "prod"}]},
    ),
    "gitlab": ({}, {"object_kind": "deployment", "status": "success", "deployment_id": 1, "project": {"id": 1}}),
    "argocd": ({}, {"app": "a", "phase": "Succeeded", "startedAt": "x", "finishedAt": {}, "url": "http://x"}),
    "flux": (
        {},
        {"involvedObject": {"kind": "HelmRelease", "name": "n"}, "reason": "UpgradeSucceeded", "severity": "info",
         "metadata": {"a/revision": "1"}, "timestamp": "2026-03-02T09:00:00Z"},
    ),
    "cdevents": (
        {"content-type": "application/cloudevents+json"},
        {"id": "1", "source": "s", "type": "dev.cdevents.service.deployed.0.2.0",
         "data": {"subject": {"id": "x", "content": {"artifactId": "pkg:a@b"}}}},
    ),
}  # fmt: skip
PARSERS = {"github": github, "gitlab": gitlab, "argocd": argocd, "flux": flux, "cdevents": cdevents}

odd = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


def with_odd(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The data with something else at that place."""
    if not path:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[path[0]] = with_odd(copy[path[0]], path[1:], value)
    return copy


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=settings().max_examples // 2)
@given(given_data=st.data())
def test_a_field_that_holds_anything_at_all_crashes_no_format(shape: str, given_data: st.DataObject) -> None:
    headers, body = SHAPES[shape]
    place = given_data.draw(st.sampled_from(places(body)))
    changed = with_odd(body, place, given_data.draw(odd))
    with suppress(Invalid):
        parsed = PARSERS[shape.partition(" ")[0]].parse(msgspec.json.encode(changed), headers)
        assert parsed.told or parsed.ignored
        # Every field is what it says it is.
        assert msgspec.convert(msgspec.to_builtins(parsed), Parsed) == parsed


@given(odd, odd)
def test_pagerduty_and_kubernetes_take_anything_or_say_why_not(one: Any, other: Any) -> None:
    event = {"payload": {"summary": "s", "custom_details": one, "timestamp": other}, "links": one}
    with suppress(Invalid):
        assert pagerduty.parse(event, b"x").told
    raw = {"metadata": {"uid": "u", "name": "n", "annotations": one}, "spec": {"template": other}, "status": other}
    with suppress(Invalid):
        seen = objects.seen_deployment(raw, environments={}, default="production")
        assert seen is None or msgspec.convert(msgspec.to_builtins(seen), SeenDeployment) == seen


def test_every_address_has_a_parser_and_every_parser_is_tried_here() -> None:
    assert set(FORMATS) == set(PARSERS)
    assert {shape.partition(" ")[0] for shape in SHAPES} == set(PARSERS)
