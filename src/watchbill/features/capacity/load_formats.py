"""Each tool's format of results, read into instants with their load and their number of good requests."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from watchbill.kernel.errors import Invalid


class Timed(msgspec.Struct, kw_only=True):
    """(Unix seconds, load) and (Unix seconds, good requests), in any order."""

    loads: list[tuple[float, float]]
    requests: list[tuple[float, float]]
    notes: tuple[str, ...] = ()


def is_number(text: str) -> bool:
    """Whether a cell holds a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _number(value: Any, place: str, what: str) -> float:
    if isinstance(value, int | float) or (isinstance(value, str) and is_number(value)):
        return float(value)
    raise Invalid(f"{what} is '{value}', not a number", place=place, hint="give the file as the tool wrote it")


def k6_lines(text: str, name: str) -> Timed:
    """``k6 run --out json``: one JSON object a line, points of the metrics ``vus`` and ``http_reqs``."""
    timed = Timed(loads=[], requests=[])
    for line, raw in enumerate(text.splitlines(), start=1):
        if not raw.strip():
            continue
        try:
            point = msgspec.json.decode(raw, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise Invalid(f"not a line of k6: {error}", place=f"{name}:{line}:1", hint="was it cut off?") from error
        data = point.get("data") or {}
        if point.get("type") != "Point" or point.get("metric") not in ("vus", "http_reqs"):
            continue
        place = f"{name}:{line}:1"
        try:
            at = datetime.fromisoformat(str(data.get("time"))).timestamp()
        except ValueError as error:
            raise Invalid(str(error), place=place, hint="k6 writes RFC 3339 times") from error
        value = _number(data.get("value"), place, "the value")
        if point["metric"] == "vus":
            timed.loads.append((at, value))
        elif (data.get("tags") or {}).get("expected_response", "true") == "true":
            timed.requests.append((at, value))
    return timed


def k6_rows(header: Sequence[str], rows: Iterator[list[str]], name: str) -> Timed:
    """``k6 run --out csv``: metric_name, timestamp, metric_value, …, expected_response."""
    timed = Timed(loads=[], requests=[])
    for place, cells in _cells(header, rows, name):
        if cells["metric_name"] not in ("vus", "http_reqs"):
            continue
        at = _number(cells["timestamp"], place, "timestamp")
        value = _number(cells["metric_value"], place, "metric_value")
        if cells["metric_name"] == "vus":
            timed.loads.append((at, value))
        elif cells.get("expected_response", "true") != "false":
            timed.requests.append((at, value))
    return timed


def k6_summary(whole: dict[str, Any], name: str) -> tuple[float, float]:
    """The end-of-test summary (``handleSummary`` or ``--summary-export``): one point."""
    metrics = whole["metrics"]

    def value(metric: str, key: str) -> float:
        found = metrics.get(metric) or {}
        return _number((found.get("values") or found).get(key), f"{name}: metrics.{metric}.{key}", key)

    failed = metrics.get("http_req_failed") or {}
    share = (failed.get("values") or failed).get("rate", (failed.get("values") or failed).get("value", 0.0))
    share = _number(share, f"{name}: metrics.http_req_failed", "the share that failed")
    return value("vus", "max"), value("http_reqs", "rate") * (1 - min(1.0, max(0.0, share)))


def locust(header: Sequence[str], rows: Iterator[list[str]], name: str) -> Timed:
    """``locust --csv``'s history: rates of all requests together, by second; failures are taken off."""
    timed = Timed(loads=[], requests=[])
    for place, cells in _cells(header, rows, name):
        if cells.get("name") != "Aggregated":
            continue
        at = _number(cells["timestamp"], place, "Timestamp")
        rate = _number(cells["requests/s"], place, "Requests/s") - _number(cells.get("failures/s") or 0, place, "f/s")
        timed.loads.append((at, _number(cells["user count"], place, "User Count")))
        timed.requests.append((at, max(0.0, rate)))
    timed.loads.sort()
    timed.requests.sort()
    # A line is a rate at an instant; it holds until the next line.
    times = [at for at, _ in timed.requests]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)] or [1.0]
    gaps.append(gaps[-1])
    timed.requests = [(at, rate * gap) for (at, rate), gap in zip(timed.requests, gaps, strict=True)]
    return timed


def jmeter(header: Sequence[str], rows: Iterator[list[str]], name: str) -> Timed:
    """A JTL file as CSV: timeStamp (ms), elapsed (ms), success, allThreads."""
    timed = Timed(loads=[], requests=[])
    for place, cells in _cells(header, rows, name):
        if cells.get("responsemessage", "").startswith(_TRANSACTION):
            continue  # the sum of samples that have lines of their own
        at = (_number(cells["timestamp"], place, "timeStamp") + _number(cells["elapsed"], place, "elapsed")) / 1000
        timed.loads.append((at, _number(cells["allthreads"], place, "allThreads")))
        if cells.get("success", "true").lower() == "true":
            timed.requests.append((at, 1.0))
    return timed


def jmeter_xml(text: str, name: str) -> Timed:
    """A JTL file as XML: ``httpSample`` and ``sample`` with ts and t (ms), s (success) and na (all threads).

    A transaction is its own samples; what a request drew after it (redirects, embedded files) is part of it.
    """
    from xml.etree import ElementTree

    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise Invalid("a JTL file declares no entities", place=name, hint="give the file as JMeter wrote it")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  without entities there is nothing to expand
    except ElementTree.ParseError as error:
        line, column = error.position
        raise Invalid(
            f"this is not XML: {error}",
            place=f"{name}:{line}:{column + 1}",
            hint="was the test stopped while it wrote?",
        ) from error
    if root.tag != "testResults":
        raise Invalid(f"its root is {root.tag}, not testResults", place=name, hint="give a JTL file of JMeter")
    timed = Timed(loads=[], requests=[])
    for top in root:
        parts = [each for each in top if each.tag in _SAMPLES]
        for each in parts if top.tag == "sample" and parts else [top]:
            if each.tag not in _SAMPLES:
                continue
            place = f"{name}: {each.get('lb', 'a sample')} at {each.get('ts')}"
            at = (_number(each.get("ts"), place, "ts") + _number(each.get("t"), place, "t")) / 1000
            timed.loads.append((at, _number(each.get("na"), place, "na")))
            if each.get("s") == "true":
                timed.requests.append((at, 1.0))
    return timed


_SAMPLES = ("httpSample", "sample")
_TRANSACTION = "Number of samples in transaction"


def gatling_log(text: str, name: str) -> Timed:
    """``simulation.log`` as text (up to Gatling 3.9): USER … START/END and REQUEST lines, tab-separated, in ms."""
    timed = Timed(loads=[], requests=[])
    changes: list[tuple[float, int]] = []
    for line, raw in enumerate(text.splitlines(), start=1):
        cells = raw.split("\t")
        place = f"{name}:{line}:1"
        if cells[0] == "USER" and len(cells) >= 4:
            # USER scenario START|END timestamp (3.4 and later); before, the user's id came after the scenario.
            kind = next((cell for cell in cells if cell in ("START", "END")), "")
            at = next((cell for cell in reversed(cells) if is_number(cell) and cell.strip() != "0"), cells[-1])
            changes.append((_number(at, place, "the instant") / 1000, 1 if kind == "START" else -1))
        elif cells[0] == "REQUEST":
            end = next((at for at in range(len(cells) - 1, 0, -1) if cells[at] in ("OK", "KO")), None)
            if end is None or end < 2:
                raise Invalid("a REQUEST without OK or KO", place=place, hint="was the file cut off?")
            if cells[end] == "OK":
                timed.requests.append((_number(cells[end - 1], place, "the end") / 1000, 1.0))
    active, position = 0, 0
    changes.sort()
    for second in range(int(changes[0][0]), int(changes[-1][0]) + 1) if changes else ():
        while position < len(changes) and changes[position][0] <= second:
            active += changes[position][1]
            position += 1
        timed.loads.append((float(second), float(active)))
    return timed


def gatling_stats(whole: dict[str, Any], name: str) -> tuple[float, float]:
    """``stats.json``: one point, its load by Little's law."""
    stats = whole.get("stats") or whole

    def value(*keys: str) -> float:
        found: Any = stats
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return _number(found, f"{name}: {'.'.join(keys)}", keys[-1])

    rate = value("meanNumberOfRequestsPerSecond", "ok")
    return rate * value("meanResponseTime", "ok") / 1000, rate


def _cells(header: Sequence[str], rows: Iterator[list[str]], name: str) -> Iterator[tuple[str, dict[str, str]]]:
    for line, row in enumerate(rows, start=2):
        if not row:
            continue
        if len(row) < len(header):
            raise Invalid(
                f"{len(row)} cells where the header has {len(header)}", place=f"{name}:{line}:1", hint="was it cut off?"
            )
        yield f"{name}:{line}:1", dict(zip(header, row, strict=False))
