"""Whatever an SLO says survives being written as OpenSLO v1 and read again; and queries become counts."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.manifest import File
from watchbill.manifest.openslo import SloSpec, read, write
from watchbill.manifest.openslo.promql import NotCountable, counting
from watchbill.manifest.openslo.spec import Alert, Goal, Indicator, Method, Query, Span, Window

names = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=20)
keys = st.from_regex(r"[a-z]{1,8}/[a-z]{1,8}", fullmatch=True).filter(lambda key: not key.startswith("watchbill/"))
spans = st.builds(Span, st.integers(1, 400), st.sampled_from("dwMQY"))
short = st.builds(Span, st.integers(1, 90), st.sampled_from("mhd"))
targets = st.decimals("0", "0.999999999", places=9, allow_nan=False)
queries = st.builds(
    Query,
    kind=st.sampled_from(["Prometheus", "Datadog"]),
    spec=st.fixed_dictionaries({"query": texts}),
    source=st.none(),
)
counted = st.builds(Indicator, name=names, title=st.none() | texts, counter=st.booleans(), total=queries, bad=queries)
ready = st.builds(Indicator, name=names, raw=queries, raw_type=st.sampled_from(["success", "failure"]))
valued = st.builds(Indicator, name=names, value=queries)
windows = st.builds(Window, span=st.builds(Span, st.integers(1, 90), st.sampled_from("mhdw"))) | st.builds(
    Window, span=spans, start=st.just("2026-03-01 00:00:00"), zone=st.sampled_from(["UTC", "Europe/Berlin"])
)
alerts = st.builds(
    Alert,
    tier=st.sampled_from(["page", "ticket"]),
    burn=st.decimals("0.1", "99", places=2),
    long=short,
    short=st.none() | short,
)


@st.composite
def slos(draw: st.DrawFn) -> SloSpec:
    methods: list[Method] = ["Occurrences", "Timeslices", "RatioTimeslices"]
    method = draw(st.sampled_from(methods))
    composite = draw(st.booleans())
    shared = None if composite else draw(counted | ready | valued)
    goals = []
    for _ in range(1 if shared is not None and shared.value else draw(st.integers(1, 3))):
        own = draw(counted | ready | valued) if composite else None
        value = (own or shared).value is not None  # type: ignore[union-attr]  # one of them is there
        goals.append(
            Goal(
                target=draw(targets),
                title=draw(st.none() | texts),
                op=draw(st.sampled_from(["lte", "gte", "lt", "gt"])) if value else None,
                value=draw(st.decimals("-1000", "100000", places=3)) if value else None,
                slice_target=draw(st.decimals("0.01", "1", places=4)) if method == "Timeslices" else None,
                slice_length=draw(short) if method != "Occurrences" else None,
                indicator=own,
                weight=draw(st.none() | st.decimals("0.5", "9", places=1)) if composite else None,
            )
        )
    return SloSpec(
        name=draw(names),
        service=draw(names),
        title=draw(st.none() | texts),
        description=draw(st.none() | texts),
        labels=draw(st.dictionaries(names, st.lists(texts, min_size=1, max_size=2), max_size=2)),
        annotations=draw(st.dictionaries(keys, texts, max_size=2)),
        method=method,
        window=draw(windows),
        indicator=shared,
        goals=goals,
        alerts=draw(st.lists(alerts, max_size=3)),
        tell=draw(st.lists(names, max_size=2)),
    )


@given(st.lists(slos(), min_size=1, max_size=3))
@settings(max_examples=30, deadline=None)
def test_what_is_written_as_openslo_reads_back_as_the_same(specs: list[SloSpec]) -> None:
    found = read([File(path="x.yaml", text=write(specs), named=True)])
    assert [one.spec for one in found.slos] == specs
    assert not found.problems, "a strict export has nothing to lint"


@pytest.mark.parametrize(
    ("query", "counts"),
    [
        ('sum(r{job="a",code=~"2..|4.."})', 'sum(increase(r{job="a",code=~"2..|4.."}[$window]))'),
        ("sum(rate(r[5m]))", "sum(increase(r[$window]))"),
        ("sum by (job) (irate(r[1m]))", "sum by (job) (increase(r[$window]))"),
        ("sum(a) without (pod) + b", "sum(increase(a[$window])) without (pod) + increase(b[$window])"),
        ('{__name__="a"}', 'increase({__name__="a"}[$window])'),
        ('sum(rate(b{le="0.5"}[5m])) # le="1"', 'sum(increase(b{le="0.5"}[$window])) # le=~"1([.]0)?"'),
        ("sum(increase(r[$window]))", "sum(increase(r[$window]))"),
        ("sum(rate(r[$window])) / 2", "sum(increase(r[$window])) / 2"),
    ],
)
def test_a_rate_and_a_bare_counter_become_a_count_over_the_window(query: str, counts: str) -> None:
    assert counting(query, counter=True) == counts


@pytest.mark.parametrize("query", ["avg_over_time(up[5m])", "sum_over_time(x[5m:1m])", "1 + 2"])
def test_what_does_not_count_is_refused_with_a_reason(query: str) -> None:
    with pytest.raises(NotCountable):
        counting(query, counter=True)
    with pytest.raises(NotCountable, match="up and down"):
        counting("temperature", counter=False)


def test_no_digit_of_a_target_is_lost() -> None:
    goal = Goal(target=Decimal("0.99999999999999999999"))
    one = SloSpec(
        name="x",
        service="s",
        method="Occurrences",
        window=Window(span=Span(30, "d")),
        indicator=Indicator(
            name="i", total=Query(kind="P", spec={"query": "q"}), good=Query(kind="P", spec={"query": "q"})
        ),
        goals=[goal],
    )
    assert "target: 0.99999999999999999999\n" in write([one])
    (again,) = read([File(path="x", text=write([one]))]).slos
    assert again.spec == one
