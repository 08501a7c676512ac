"""Read OpenSLO v1 and v2alpha: every document, what refers to what, and everything that is wrong.

v1 is read by its rules, with lint where the specification's own examples break those of its SDK. v2alpha is read
leniently: unknown keys are warnings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from watchbill.manifest.openslo import documents as docs
from watchbill.manifest.openslo import noted, rules
from watchbill.manifest.openslo.place import Place
from watchbill.manifest.openslo.spec import Alert, Goal, Indicator, Labels, Query, SloSpec
from watchbill.manifest.suggest import did_you_mean
from watchbill.runtime.yaml import Path

V1 = "openslo/v1"
V2ALPHA = "openslo.com/v2alpha"
PAGES = frozenset({"page", "critical", "crit", "high", "urgent", "emergency", "p1", "sev1"})
"""Severities that page; every other is a ticket."""

Named = tuple[Place, docs.Metadata, Any]


class Library:
    """All documents of one set by kind and name, so that references can be followed."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, Named]] = {kind: {} for kind in docs.SPECS}
        self.slos: list[Named] = []

    def add(self, place: Place, *, lenient: bool) -> None:
        """Read one document."""
        kinds = docs.SPECS_2 if lenient else docs.SPECS
        kind = place.data.get("kind")
        if lenient and kind == "BudgetAdjustment":
            place.lint(
                "openslo.unsupported",
                "a BudgetAdjustment is read past",
                ("kind",),
                "exclude the time in Watchbill, where a second person signs it",
            )
            return
        if kind not in kinds:
            hint = did_you_mean(str(kind), kinds) or f"one of {', '.join(kinds)}"
            place.note("openslo.kind", f"OpenSLO has no kind '{kind}'", ("kind",), hint)
            return
        for key in place.data:
            if key not in ("apiVersion", "kind", "metadata", "spec"):
                place.note(
                    "openslo.unknown_key",
                    f"the key '{key}' is not known here",
                    (key,),
                    "known here: apiVersion, kind, metadata, spec",
                    severity="warning" if lenient else "error",
                    key=True,
                )
        for part in ("metadata", "spec"):
            if part not in place.data:
                place.note("openslo.missing", f"'{part}' is missing", (), f"add {part}:")
        metadata = place.read(docs.Metadata, ("metadata",), lenient=lenient)
        spec = place.read(kinds[kind], ("spec",), lenient=lenient)
        if metadata is None or spec is None or place.broken:
            return
        rules.check_name(place, metadata.name, ("metadata", "name"))
        if kind == "SLO":
            self.slos.append((place, metadata, spec))
        elif metadata.name in self.known[kind]:
            first = self.known[kind][metadata.name][0].document.place(self.known[kind][metadata.name][0].prefix)
            place.note(
                "openslo.duplicate",
                f"the {kind} '{metadata.name}' is described twice",
                ("metadata", "name"),
                f"keep one of them; the first is at {first}",
            )
        else:
            self.known[kind][metadata.name] = (place, metadata, spec)

    def find(self, kind: str, name: str, place: Place, path: Path) -> Named | None:
        """What a reference names; a problem when there is no such document."""
        found = self.known[kind].get(name)
        if found is None:
            hint = did_you_mean(name, self.known[kind]) or f"add a document of kind {kind} with that name"
            place.note("openslo.reference", f"there is no {kind} '{name}' in these files", path, hint)
        return found

    def specs(self) -> list[tuple[Place, SloSpec]]:
        """Every SLO that could be read in full."""
        read = [(place, _Reader(self, place, metadata).slo(spec)) for place, metadata, spec in self.slos]
        return [(place, spec) for place, spec in read if spec is not None and not place.broken]


class _Reader:
    """Turns one SLO document into what it says."""

    def __init__(self, library: Library, place: Place, metadata: docs.Metadata) -> None:
        self.library = library
        self.place = place
        self.metadata = metadata

    def slo(self, spec: docs.Slo | docs.Slo2) -> SloSpec | None:
        place = self.place
        service = spec.service or (spec.service_ref if isinstance(spec, docs.Slo2) else None)
        if not service:
            place.note("openslo.missing", "'service' is missing", ("spec",), "name the service it is promised for")
        window = rules.window(place, spec.time_window)
        indicator = self._indicator(place, spec, ("spec",))
        written: Sequence[docs.Goal | docs.Goal2] = spec.objectives
        goals = [self._goal(spec, goal, ("spec", "objectives", index)) for index, goal in enumerate(written)]
        goals = rules.check_indicators(place, indicator, goals)
        said, named, rest = noted.take(place, self.metadata.annotations)
        alerts, tell = self._alerts(spec.alert_policies)
        if place.broken or window is None or not service:
            return None
        return SloSpec(
            name=self.metadata.name,
            title=self.metadata.display_name,
            service=service,
            description=spec.description,
            labels=labels_of(self.metadata.labels),
            annotations=rest,
            method=spec.budgeting_method,
            window=window,
            indicator=indicator,
            goals=[goal for goal in goals if goal is not None],
            alerts=said if said is not None else alerts,
            tell=named if named is not None else tell,
        )

    def _goal(self, spec: docs.Slo | docs.Slo2, goal: docs.Goal | docs.Goal2, path: Path) -> Goal | None:
        own = self._indicator(self.place, goal, path)
        target = rules.target(self.place, goal.target, goal.target_percent, path)
        slice_target, slice_length = rules.slices(
            self.place, spec.budgeting_method, goal.time_slice_target, goal.time_slice_window, path
        )
        if goal.composite_weight is not None and goal.composite_weight <= 0:
            self.place.note(
                "openslo.weight",
                f"a weight of {goal.composite_weight} is not above 0",
                (*path, "compositeWeight"),
                "write a positive number, such as 1",
            )
        if target is None:
            return None
        return Goal(
            title=goal.display_name,
            op=goal.op,
            value=goal.value,
            target=target,
            slice_target=slice_target,
            slice_length=slice_length,
            indicator=own,
            weight=goal.composite_weight,
        )

    def _indicator(self, place: Place, part: Any, path: Path) -> Indicator | None:
        names = {each.name: each.encode_name for each in msgspec.structs.fields(type(part))}
        here, ref = names["indicator"], names["indicator_ref"]
        if part.indicator is not None and part.indicator_ref is not None:
            hint = "keep one of them"
            place.note("openslo.conflict", f"both '{here}' and '{ref}' are given", (*path, ref), hint)
            return None
        if part.indicator_ref is not None:
            found = self.library.find("SLI", part.indicator_ref, place, (*path, ref))
            return self._sli(found[0], found[1], found[2], ("spec",)) if found else None
        if part.indicator is not None:
            return self._sli(place, part.indicator.metadata, part.indicator.spec, (*path, here, "spec"))
        return None

    def _sli(self, place: Place, metadata: docs.Metadata, sli: docs.Sli | docs.Sli2, path: Path) -> Indicator | None:
        rules.check_sli(place, sli, path)
        if place.broken:
            return None
        ratio: Any = sli.ratio_metric
        at = (*path, "ratioMetric")

        def query(name: str) -> Query | None:
            metric = getattr(ratio, name, None) if ratio is not None else None
            return None if metric is None else self._query(place, metric, (*at, name))

        threshold = sli.threshold_metric
        return Indicator(
            name=metadata.name,
            title=metadata.display_name,
            description=sli.description,
            counter=ratio.counter if ratio is not None else False,
            good=query("good"),
            bad=query("bad"),
            total=query("total"),
            raw=query("raw"),
            raw_type=ratio.raw_type if ratio is not None else None,
            value=None if threshold is None else self._query(place, threshold, (*path, "thresholdMetric")),
        )

    def _query(self, place: Place, metric: docs.Metric | docs.Metric2, path: Path) -> Query | None:
        if isinstance(metric, docs.Metric):
            path = (*path, "metricSource")
            ref, kind, key = metric.metric_source.metric_source_ref, metric.metric_source.type, "metricSourceRef"
            spec = metric.metric_source.spec
        else:
            inline = metric.data_source_spec or metric.data_source
            ref, kind, key = metric.data_source_ref, inline.type if inline else None, "dataSourceRef"
            spec = metric.spec
        if ref is not None:
            known = self.library.known["DataSource"].get(ref)
            if known is not None:
                kind = kind or known[2].type
            elif kind is None:
                self.library.find("DataSource", ref, place, (*path, key))
                return None
            else:
                place.lint(
                    "openslo.reference",
                    f"there is no DataSource '{ref}' in these files; its type is taken from here",
                    (*path, key),
                    "add the DataSource, or leave the reference out",
                )
        if kind is None:
            place.note(
                "openslo.missing", "neither a type nor a reference to a DataSource", path, "add type: Prometheus"
            )
            return None
        return Query(kind=kind, spec=spec, source=ref)

    def _alerts(self, uses: Sequence[str | docs.UseOfPolicy]) -> tuple[list[Alert], list[str]]:
        alerts: list[Alert] = []
        tell: dict[str, None] = {}
        for index, use in enumerate(uses):
            path: Path = ("spec", "alertPolicies", index)
            name = use if isinstance(use, str) else use.alert_policy_ref
            if name is not None:
                found = self.library.find("AlertPolicy", name, self.place, path)
                if found is None:
                    continue
                alerts += self._conditions(found[0], found[2], ("spec",))
                tell.update(dict.fromkeys(self._targets(found[0], found[2], ("spec",))))
            elif isinstance(use, docs.UseOfPolicy) and use.spec is not None:
                alerts += self._conditions(self.place, use.spec, (*path, "spec"))
                tell.update(dict.fromkeys(self._targets(self.place, use.spec, (*path, "spec"))))
            else:
                self.place.note("openslo.missing", "an alert policy without a spec", path, "add alertPolicyRef or spec")
        return alerts, list(tell)

    def _conditions(self, place: Place, policy: docs.AlertPolicy, at: Path) -> list[Alert]:
        path: Path = (*at, "conditions")
        if len(policy.conditions) != 1:
            count = len(policy.conditions)
            hint = "v1 allows one; several windows go into the annotation watchbill/alerts"
            place.note("openslo.one_condition", f"{count} conditions in one policy", path, hint)
            return []
        use = policy.conditions[0]
        condition = use.spec
        if use.condition_ref is not None:
            found = self.library.find("AlertCondition", use.condition_ref, place, (*path, 0, "conditionRef"))
            condition = found[2] if found else None
        elif condition is None:
            place.note("openslo.missing", "a condition without a spec", (*path, 0), "add conditionRef or spec")
        if condition is None:
            return []
        burn = condition.condition
        if burn.op in ("lt", "lte"):
            place.lint(
                "openslo.op",
                f"op: {burn.op} would tell while the budget is kept; read as 'exceeds', as the examples mean it",
                (*path, 0),
                "write op: gt",
            )
        pages = condition.severity.strip().lower() in PAGES
        return [Alert(tier="page" if pages else "ticket", burn=burn.threshold, long=rules.span(burn.lookback_window))]

    def _targets(self, place: Place, policy: docs.AlertPolicy, at: Path) -> list[str]:
        names = []
        for index, use in enumerate(policy.notification_targets):
            path = (*at, "notificationTargets", index)
            if use.target_ref is not None:
                found = self.library.find("AlertNotificationTarget", use.target_ref, place, (*path, "targetRef"))
                names += [found[1].name] if found else []
            elif use.spec is not None:
                names.append(use.metadata.name if use.metadata else use.spec.target)
            else:
                place.note("openslo.missing", "a target without a spec", path, "add targetRef or spec")
        return names


def labels_of(written: docs.Labels) -> Labels:
    """Every label as a list, as v1 allows several values."""
    return {name: [value] if isinstance(value, str) else value for name, value in written.items()}
