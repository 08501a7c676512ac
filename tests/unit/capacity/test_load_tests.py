"""Results of load-test tools become points of load and throughput."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from watchbill.features.capacity import load_tests
from watchbill.kernel.errors import Invalid

START = datetime(2026, 11, 1, 10, tzinfo=UTC)


def _ramp() -> list[tuple[int, int, int]]:
    """(second, users, requests of that second): six stages of ten seconds."""
    return [(second, users, users * 10 - users * users // 10) for second in range(60) for users in [second // 10 + 1]]


EXPECTED = {users: float(users * 10 - users * users // 10) for users in range(1, 7)}


def _near(points: tuple[tuple[float, float], ...]) -> None:
    assert {round(n) for n, _ in points} >= set(range(1, 6))
    for n, x in points:
        assert x == pytest.approx(EXPECTED[round(n)], rel=0.2)


def test_json_lines_of_k6() -> None:
    lines = [{"type": "Metric", "metric": "vus", "data": {"type": "gauge"}}]
    for second, users, requests in _ramp():
        at = (START + timedelta(seconds=second)).isoformat()
        lines.append({"type": "Point", "metric": "vus", "data": {"time": at, "value": users, "tags": {}}})
        for _ in range(requests):
            tags = {"expected_response": "true"}
            lines.append({"type": "Point", "metric": "http_reqs", "data": {"time": at, "value": 1, "tags": tags}})
        bad = {"time": at, "value": 1, "tags": {"expected_response": "false"}}
        lines.append({"type": "Point", "metric": "http_reqs", "data": bad})
    found = load_tests.read("\n".join(json.dumps(line) for line in lines), name="run.json")
    assert found.format == "k6"
    _near(found.points)


def test_csv_of_k6() -> None:
    lines = ["metric_name,timestamp,metric_value,expected_response"]
    for second, users, requests in _ramp():
        lines.append(f"vus,{second + 1_700_000_000},{users},")
        lines += [f"http_reqs,{second + 1_700_000_000},1,true"] * requests
    _near(load_tests.read("\n".join(lines), name="run.csv").points)


def test_summaries_of_k6_are_one_point_each() -> None:
    def summary(users: int, rate: float) -> str:
        return json.dumps({"metrics": {"vus": {"values": {"max": users}}, "http_reqs": {"values": {"rate": rate}}}})

    found = load_tests.read_all([("b.json", summary(4, 80.0)), ("a.json", summary(2, 45.0))])
    assert found.points == ((2.0, 45.0), (4.0, 80.0))
    exported = {"metrics": {"vus": {"max": 4}, "http_reqs": {"rate": 80.0}, "http_req_failed": {"value": 0.25}}}
    assert load_tests.read(json.dumps(exported), name="c.json").points == ((4.0, 60.0),)


def test_history_of_locust() -> None:
    lines = ["Timestamp,User Count,Type,Name,Requests/s,Failures/s,50%"]
    for second, users, requests in _ramp():
        lines.append(f"{second + 1_700_000_000},{users},,Aggregated,{requests + 2}.0,2.0,N/A")
        lines.append(f"{second + 1_700_000_000},{users},GET,/,1.0,0.0,N/A")
    found = load_tests.read("\n".join(lines), name="x_stats_history.csv")
    assert found.format == "locust"
    _near(found.points)


def test_jtl_of_jmeter() -> None:
    lines = ["timeStamp,elapsed,label,responseCode,success,grpThreads,allThreads"]
    for second, users, requests in _ramp():
        for at in range(requests):
            ms = 1_700_000_000_000 + second * 1000 + at * 1000 // requests
            lines.append(f"{ms},5,home,200,true,{users},{users}")
        lines.append(f"{ms},5,home,500,false,{users},{users}")
    found = load_tests.read("\n".join(lines), name="run.jtl")
    assert found.format == "jmeter"
    _near(found.points)


def test_jtl_of_jmeter_as_xml_counts_the_samples_of_a_transaction_and_not_what_a_page_draws() -> None:
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<testResults version="1.2">']
    for second, users, requests in _ramp():
        for at in range(requests // 2):
            ms = 1_700_000_000_000 + second * 1000 + at * 2000 // requests
            one = f't="5" ts="{ms}" s="true" lb="home" rc="200" ng="{users}" na="{users}"'
            drawn = f'<httpSample {one}><httpSample {one}/><assertionResult/></httpSample>'
            lines.append(f'<sample {one}>{drawn}<httpSample {one}/></sample>')
        lines.append(f'<httpSample t="5" ts="{ms}" s="false" lb="home" rc="500" ng="{users}" na="{users}"/>')
    found = load_tests.read("\n".join([*lines, "</testResults>"]), name="run.jtl")
    assert found.format == "jmeter"
    _near(found.points)
    for broken, says in (("<testResults><sample", "not XML"), ("<html/>", "root"), ("<!DOCTYPE x><a/>", "entities")):
        with pytest.raises(Invalid, match=says):
            load_tests.read(broken, name="run.jtl")


def test_a_transaction_of_jmeter_is_not_counted_beside_its_samples() -> None:
    lines = ["timeStamp,elapsed,label,responseCode,responseMessage,success,grpThreads,allThreads"]
    for second, users, requests in _ramp():
        for at in range(requests):
            ms = 1_700_000_000_000 + second * 1000 + at * 1000 // requests
            lines.append(f"{ms},5,home,200,OK,true,{users},{users}")
        said = '"Number of samples in transaction : 2, number of failing samples : 0"'
        lines += [f"{ms},9,buy,200,{said},true,{users},{users}"] * (requests // 2)
    _near(load_tests.read("\n".join(lines), name="run.jtl").points)


def test_log_and_stats_of_gatling() -> None:
    base = 1_700_000_000_000
    lines = ["RUN\tshop.Buy\tbuy\t1700000000000\t \t3.9.5"]
    for users in range(6):
        lines.append(f"USER\tbuy\tSTART\t{base + users * 10_000}")
    for second, _users, requests in _ramp():
        for at in range(requests):
            begun = base + second * 1000 + at * 900 // requests
            lines.append(f"REQUEST\t\thome\t{begun}\t{begun + 20}\tOK\t ")
    lines += [f"USER\tbuy\tEND\t{base + 60_000}"] * 6
    found = load_tests.read("\n".join(lines), name="simulation.log")
    assert found.format == "gatling"
    _near(found.points)
    stats = {"stats": {"meanNumberOfRequestsPerSecond": {"ok": 200.0}, "meanResponseTime": {"ok": 50}}}
    assert load_tests.read(json.dumps(stats), name="stats.json").points == ((10.0, 200.0),)


def test_two_columns_with_and_without_a_header() -> None:
    assert load_tests.read("load,throughput\n1,2\n3,4\n", name="a.csv").points == ((1, 2), (3, 4))
    assert load_tests.read("1,2\n3,4\n", name="a.csv").points == ((1, 2), (3, 4))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("n,x\n1,two\n", "a.csv:2:1"),
        ("a,b,c\n1,2,3\n", "columns"),
        ('{"some": "thing"}', "no known"),
        ('{"type":"Point","metric":"vus","data":{"time":"yesterday","value":1}}', "yesterday"),
        ("timeStamp,elapsed,success,allThreads\n1,2\n", "cells"),
    ],
)
def test_what_is_no_load_test_is_refused_with_its_place(text: str, says: str) -> None:
    with pytest.raises(Invalid) as refused:
        load_tests.read(text, name="a.csv")
    assert says in f"{refused.value.problem.message} {refused.value.problem.place}"
