"""Load tests as their tools write them, read as (load, throughput) points.

A result with a point in time for each request, or each second, is cut into windows; windows of equal load become one
point. Failed requests are no throughput. Formats, as the tools document them: k6 ``--out json``, ``--out csv`` and the
end-of-test summary; Locust ``*_stats_history.csv``; Gatling ``simulation.log`` (text) and ``stats.json``; JMeter JTL as
CSV and as XML; and a plain CSV of load and throughput.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence

import msgspec

from watchbill.features.capacity import load_formats
from watchbill.kernel.errors import Invalid


class LoadTest(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds: points (load, throughput per second), by load, and what was assumed to get them."""

    format: str
    points: tuple[tuple[float, float], ...]
    notes: tuple[str, ...] = ()


def read(text: str, *, name: str) -> LoadTest:
    """Read a result of any known tool; ``name`` is for messages only.

    Raises:
        Invalid: no known format, or a line that is not what its format says.
    """
    start = text.lstrip("\ufeff \r\n\t")
    if not start:
        raise Invalid("the file is empty", place=name, hint="give the results of a load test")
    if start[0] == "{":
        return _json(start, name)
    if start[0] == "<":
        return _timed("jmeter", load_formats.jmeter_xml(start, name))
    first = start.split("\n", 1)[0]
    if "\t" in first and first.split("\t", 1)[0] in ("RUN", "ASSERTION"):
        return _timed("gatling", load_formats.gatling_log(start, name))
    return _csv(start, name)


def read_all(files: Sequence[tuple[str, str]]) -> LoadTest:
    """The points of several files (name, text) together: such as one summary for each load."""
    found = [read(text, name=name) for name, text in files]
    formats = sorted({one.format for one in found})
    return LoadTest(
        format=", ".join(formats),
        points=tuple(sorted(point for one in found for point in one.points)),
        notes=tuple(dict.fromkeys(note for one in found for note in one.notes)),
    )


def _json(text: str, name: str) -> LoadTest:
    first = text.split("\n", 1)[0]
    try:
        opening = msgspec.json.decode(first)
    except msgspec.DecodeError:
        opening = None
    if isinstance(opening, dict) and opening.get("type") in ("Metric", "Point"):
        return _timed("k6", load_formats.k6_lines(text, name))
    try:
        whole = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise Invalid(f"this is not JSON: {error}", place=name, hint="give the file as the tool wrote it") from error
    if isinstance(whole, dict) and isinstance(whole.get("metrics"), dict):
        return LoadTest(format="k6", points=(load_formats.k6_summary(whole, name),))
    if isinstance(whole, dict) and "meanNumberOfRequestsPerSecond" in (whole.get("stats") or whole):
        return LoadTest(
            format="gatling",
            points=(load_formats.gatling_stats(whole, name),),
            notes=("stats.json holds no users: the load is rate × mean response time, by Little's law",),
        )
    raise Invalid("this JSON is of no known load test", place=name, hint=_KNOWN)


def _csv(text: str, name: str) -> LoadTest:
    rows = csv.reader(io.StringIO(text))
    header = [cell.strip().lower() for cell in next(rows)]
    if {"timestamp", "user count", "requests/s"} <= set(header):
        return _timed("locust", load_formats.locust(header, rows, name))
    if {"metric_name", "timestamp", "metric_value"} <= set(header):
        return _timed("k6", load_formats.k6_rows(header, rows, name))
    if {"timestamp", "elapsed", "allthreads"} <= set(header):
        return _timed("jmeter", load_formats.jmeter(header, rows, name))
    if len(header) == 2:
        return LoadTest(format="csv", points=tuple(sorted(_plain(text, name))))
    raise Invalid(f"its columns are {', '.join(header)[:200]}", place=f"{name}:1:1", hint=_KNOWN)


_KNOWN = (
    "give k6 (--out json, --out csv, summary), Locust (_stats_history.csv), Gatling (simulation.log, stats.json), "
    "JMeter (JTL as CSV or XML) or two columns: load, throughput"
)


def _plain(text: str, name: str) -> Iterator[tuple[float, float]]:
    for line, row in enumerate(csv.reader(io.StringIO(text)), start=1):
        if not row or (line == 1 and not load_formats.is_number(row[0])):
            continue
        if len(row) != 2 or not all(load_formats.is_number(cell) for cell in row):
            raise Invalid(
                f"'{','.join(row)[:80]}' is not two numbers", place=f"{name}:{line}:1", hint="write load,throughput"
            )
        yield float(row[0]), float(row[1])


def _timed(format: str, timed: load_formats.Timed) -> LoadTest:
    """Windows of equal load, averaged. The first and the last window, which are cut off, are left out."""
    times = [at for at, _ in timed.loads] + [at for at, _ in timed.requests]
    if not timed.requests or not timed.loads:
        return LoadTest(format=format, points=())
    start, end = min(times), max(times)
    width = max(1.0, math.ceil((end - start) / 60))
    count = int((end - start) // width)
    loads: dict[int, list[float]] = {}
    done: dict[int, float] = {}
    for at, load in timed.loads:
        loads.setdefault(int((at - start) // width), []).append(load)
    for at, number in timed.requests:
        place = int((at - start) // width)
        done[place] = done.get(place, 0.0) + number
    by_load: dict[int, list[tuple[float, float]]] = {}
    for place in range(1, count):
        if place not in loads:
            continue
        load = sum(loads[place]) / len(loads[place])
        by_load.setdefault(_rounded(load), []).append((load, done.get(place, 0.0) / width))
    points = [
        (sum(n for n, _ in group) / len(group), sum(x for _, x in group) / len(group))
        for load, group in by_load.items()
        if load > 0
    ]
    return LoadTest(format=format, points=tuple(sorted(points)), notes=(f"windows of {width:g} s", *timed.notes))


def _rounded(load: float) -> int:
    """Loads that differ by noise are one: to whole users, and to two digits above a hundred."""
    if load < 100:
        return round(load)
    unit = int(10 ** (len(str(int(load))) - 2))
    return round(load / unit) * unit
