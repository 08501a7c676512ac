"""The PromQL that counts what an indicator measures, minute by minute."""

from __future__ import annotations

from typing import Any

from watchbill.features.slo import same_bounds
from watchbill.manifest.openslo.place import Place
from watchbill.manifest.openslo.promql import WINDOW, NotCountable, counting
from watchbill.manifest.openslo.spec import Goal, Indicator, Query

_OPERATORS = {"lte": "<=", "lt": "<", "gte": ">=", "gt": ">"}
_PARTS = "1e6"
"""A ready ratio counts as so many events a minute, of which its share are good or bad."""
_STEP = "30s"


def prometheus(indicator: Indicator, goal: Goal, place: Place, path: tuple[Any, ...]) -> dict[str, Any]:
    """``total`` and ``good`` or ``bad``.

    A value is compared every half minute, each comparison being an event. A ready ratio weighs every minute the same,
    because how many events it was made of is lost: that is said as lint.

    Raises:
        NotCountable: a query that is none.
    """
    if indicator.value is not None:
        asked, operator = _text(indicator.value), _OPERATORS[goal.op or "lte"]
        value = f"{goal.value or 0:f}"
        return {
            "total": f"sum(count_over_time(({asked})[{WINDOW}:{_STEP}]))",
            "good": f"sum(sum_over_time((({asked}) {operator} bool {value})[{WINDOW}:{_STEP}]))",
        }
    if indicator.raw is not None:
        hint = "give good or bad and total instead: a quiet hour then weighs less than a busy one"
        place.lint("openslo.ratio", "a ready ratio has lost how many events it was made of", path, hint)
        asked = same_bounds(_text(indicator.raw))
        every = f"avg({asked})" if WINDOW in asked else f"avg(avg_over_time(({asked})[{WINDOW}:{_STEP}]))"
        part = "good" if indicator.raw_type == "success" else "bad"
        return {"total": f"{_PARTS} + 0 * {every}", part: f"{_PARTS} * {every}"}
    counts: dict[str, Any] = {}
    for name in ("total", "good", "bad"):
        query: Query | None = getattr(indicator, name)
        if query is not None:
            counts[name] = counting(_text(query), counter=indicator.counter)
    return counts


def _text(query: Query) -> str:
    for key in ("query", "promql", "expr"):
        text = query.spec.get(key)
        if isinstance(text, str) and text.strip():
            return text.strip()
    raise NotCountable("its source has no query")
