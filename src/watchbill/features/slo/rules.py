"""SLOs as Prometheus recording and alerting rules, over the request metrics of the OpenTelemetry semantic conventions.

For those who evaluate in Prometheus beside Watchbill, or want to leave. The metric is `http.server.request.duration` as
Prometheus names it (``http_server_request_duration_seconds``; OpenTelemetry specification, "Prometheus and OpenMetrics
compatibility"). What the rules take care of:

- a ratio over a window is made of counts over that window, never an average of ratios;
- no error series yet is no error, but no request series at all is no answer (never 100 %);
- ``le="1"`` and ``le="1.0"`` are the same bound (Prometheus 3 writes the second);
- one alert for each tier of an SLO, with its pairs of windows as alternatives.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import yaml

from watchbill.features.slo.model import Plan, Slo
from watchbill.features.slo.objectives import plan_of
from watchbill.kernel.durations import format_duration

METRIC = "http_server_request_duration_seconds"
SELECTOR = 'service_name="{service}"'
"""How the series of a service are chosen; ``{service}`` is its OpenTelemetry ``service.name``."""
_SLICE_SECONDS = 60
_METHOD = re.compile(r"([A-Z]+) (/.*)")


def prometheus_rules(
    slos: Sequence[tuple[Slo, Mapping[str, str], Mapping[str, Any]]], *, selector: str = SELECTOR
) -> str:
    """A rules file that ``promtool check rules`` accepts.

    Args:
        slos: each SLO with its names (``service``, ``telemetry``, ``operation``, ``team``) and its operation's match.
        selector: label matchers of a service's series.

    What these rules cannot say rightly is left out, and a comment in the file names it with its reason (`_cannot`).
    Burn windows of its own are written as they are; a calendar changes the budget, not the burn windows.
    """
    groups: list[dict[str, Any]] = []
    left_out: list[str] = []
    for slo, names, match in slos:
        title = f"{names['service']}/{names['operation']}/{slo.name}"
        reason = _cannot(slo, match)
        if reason is not None:
            left_out.append(f"# left out: {title}: {reason}")
            continue
        plan = plan_of(slo, slice_seconds=_SLICE_SECONDS)
        groups.append(_group(slo, names, _series(names["telemetry"], match.get("route"), selector), plan))
    body = yaml.safe_dump({"groups": groups}, sort_keys=False, width=110, allow_unicode=True)
    head = "# Written by `watchbill slo rules`. Change the manifest instead and write it again."
    return "\n".join([head, *left_out, body])


def _cannot(slo: Slo, match: Mapping[str, Any]) -> str | None:
    """Why rules over request metrics would say something else than this objective; None: they say the same."""
    if slo.source is not None:
        return "its counts do not come from request metrics"
    if match.get("spanName") or match.get("attributes"):
        return "it is matched by span name or attributes, which metrics do not have"
    if slo.unit_seconds:
        return "it counts time slices, and a rule over a window cannot weigh its minutes"
    if slo.measure is not None and slo.measure.degraded != "good":
        return "degraded answers do not count as good, and not every exporter keeps that attribute as a label"
    return None


def _series(service: str, route: str | None, selector: str) -> str:
    matchers = [selector.replace("{service}", _quoted(service))]
    if route:
        with_method = _METHOD.fullmatch(route)
        if with_method:
            matchers.append(f'http_request_method="{with_method[1]}"')
        matchers.append(f'http_route="{_quoted(with_method[2] if with_method else route)}"')
    return ", ".join(matchers)


def _group(slo: Slo, names: Mapping[str, str], series: str, plan: Plan) -> dict[str, Any]:
    labels = {
        "watchbill_slo": str(slo.id),
        "service": names["service"],
        "operation": names["operation"],
        "slo": slo.name,
        "team": names["team"],
    }
    chosen = f'{{watchbill_slo="{slo.id}"}}'
    windows = sorted({s * _SLICE_SECONDS for pair in plan.windows for s in (pair.short_slices, pair.long_slices)})
    rules: list[dict[str, Any]] = [
        {"record": f"slo:error:ratio_rate{_length(seconds)}", "expr": _ratio(slo, series, seconds), "labels": labels}
        for seconds in windows
    ]
    for tier in ("page", "ticket"):
        pairs = [
            f"(slo:error:ratio_rate{_length(pair.short_slices * _SLICE_SECONDS)}{chosen} > {threshold}"
            f" and slo:error:ratio_rate{_length(pair.long_slices * _SLICE_SECONDS)}{chosen} > {threshold})"
            for pair in plan.windows
            if pair.tier == tier
            for threshold in [_exact(pair.factor * slo.budget_share)]
        ]
        if pairs:
            rules.append(
                {
                    "alert": f"ErrorBudgetBurn{tier.capitalize()}",
                    "expr": "\nor\n".join(pairs),
                    "labels": {**labels, "severity": "critical" if tier == "page" else "warning", "tier": tier},
                    "annotations": {
                        "summary": f"{names['operation']} of {names['service']} burns its error budget"
                        f" ({slo.target.normalize():f} % over {format_duration(timedelta(seconds=slo.window_seconds))})"
                    },
                }
            )
    return {"name": f"watchbill-{slo.id}", "interval": "1m", "rules": rules}


def _ratio(slo: Slo, series: str, seconds: int) -> str:
    window = _length(seconds)
    total = f"sum(rate({METRIC}_count{{{series}}}[{window}]))"
    if slo.threshold_ms is None:
        bad = f'sum(rate({METRIC}_count{{{series}, http_response_status_code=~"5.."}}[{window}]))'
        return f"({bad} or 0 * {total}) / ({total} > 0)"
    bound = (Decimal(slo.threshold_ms) / 1000).normalize()
    text = f"{bound:f}"
    le = f"{text}([.]0)?" if "." not in text else text.replace(".", "[.]")
    good = f'sum(rate({METRIC}_bucket{{{series}, http_response_status_code!~"5..", le=~"{le}"}}[{window}]))'
    return f"1 - {good} / ({total} > 0)"


def _exact(value: Any) -> str:
    """A fraction as a decimal literal that loses nothing for any target people write."""
    return f"{(Decimal(value.numerator) / Decimal(value.denominator)).normalize():f}"


def _length(seconds: int) -> str:
    return format_duration(timedelta(seconds=seconds))


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
