"""Forecasts: coverage and error on held-out series, fits equal to published ones, and a night of 10,000 services.

``WATCHBILL_BENCH_SERIES`` names a folder of CSV files (instant,value) to judge forecasts on. The named series of the
Numenta Anomaly Benchmark (GOOG, IBM, KO, PFE, UPS, NYC taxi) were never looked at while the method was made: that was
done on its others (AAPL, AMZN, CRM, CVS, FB) and on made series that are calm, drift, jump, burst or change noise.
Coverage is told one, three and seven days ahead, over every origin that has seven days of scores before it.
Without the folder, series are made. ``WATCHBILL_BENCH_DAILY`` names one more folder of daily CSV files (day,value).
With the extra ``watchbill[forecast]`` the heavier model is judged at the same origins, and so is the choice between the
two: made on the first half of each series, and judged on the second.
"""

from __future__ import annotations

import csv
import os
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from bench.results import Result
from watchbill.features import catalog
from watchbill.features.capacity import forecast, heavier, nightly, scoring, usl
from watchbill.features.capacity.store import capacity_day, capacity_forecast
from watchbill.features.catalog.store import service, team
from watchbill.kernel.ids import new_id
from watchbill.runtime import migrate
from watchbill.runtime.bulk import insert_many
from watchbill.runtime.db import Database
from watchbill.runtime.postgres import EmbeddedPostgres

NAMES = ("usl_fit", "capacity_night")
SERVICES = int(os.environ.get("WATCHBILL_BENCH_SERVICES", "10000"))
_SPECSDM91 = [(1, 64.9), (18, 995.9), (36, 1652.4), (72, 1853.2), (108, 1828.9), (144, 1775.0), (216, 1702.2)]
_PUBLISHED = (0.02773, 1.044e-4, 90.00)


def run() -> list[Result]:
    """Coverage and error by rolling origins a day apart, the golden fit, and the night.

    ``WATCHBILL_BENCH_SERVICES=2000 python -m bench capacity_night`` is the night alone, of so many services.
    """
    wanted = set(sys.argv[1:])
    if wanted and wanted <= set(NAMES):
        return [make() for name, make in (("usl_fit", _fit), ("capacity_night", _night)) if name in wanted]
    return [*_forecasts(), *_against_heavier(), _fit(), _night()]


def _forecasts() -> list[Result]:
    folder = os.environ.get("WATCHBILL_BENCH_SERIES")
    series = [_read(path) for path in sorted(Path(folder).glob("*.csv"))] if folder else _made()
    coverages: dict[int, list[float]] = {days: [] for days in scoring.LEADS_JUDGED}
    ratios = []
    for name, start, values in series:
        told = forecast.forecast(values, start_at=start, step_seconds=3600, horizon=168, origins=400).evaluation
        if told.coverage is None or told.naive_coverage is None or not told.mae or not told.naive_mae:
            continue
        for days, share in zip(scoring.LEADS_JUDGED, told.ahead, strict=True):
            if share is not None:
                coverages[days].append(share)
        ratios.append(told.mae / told.naive_mae)
        print(
            f"     {name}: {told.days} origins, coverage one, three and seven days ahead"
            f" {' '.join('–' if each is None else f'{each:.3f}' for each in told.ahead)}"
            f" (naive, one day: {told.naive_coverage:.3f}), daily peak under its 95% bound on"
            f" {told.peak_coverage or 0.0:.3f}, error {ratios[-1]:.3f} of seasonal naive"
        )
    return [
        *(_coverage(days, shares, named=folder is not None) for days, shares in coverages.items()),
        Result(
            name="forecast error",
            value=float(np.mean(ratios)),
            unit="of seasonal naive",
            better="lower",
            peer="seasonal naive",
            peer_value=1.0,
            ratio=float(np.mean(ratios)),
            limit="below seasonal naive",
            limit_value=1.0,
        ),
    ]


def _coverage(days: int, shares: list[float], *, named: bool) -> Result:
    """The share of series inside, at one horizon; one day ahead all of the named ones are to be."""
    bound = named and days == 1
    return Result(
        name=f"forecast coverage in .88-.92, {days} {'day' if days == 1 else 'days'} ahead",
        value=sum(0.88 <= each <= 0.92 for each in shares) / len(shares),
        unit=f"of series ({min(shares):.3f} to {max(shares):.3f})",
        better="higher",
        limit="all of the named series" if bound else None,
        limit_value=1.0 if bound else None,
    )


def _against_heavier() -> list[Result]:
    """The default, the heavier model and the choice beside seasonal naive, on the second half of each series."""
    if not heavier.installed():
        print("     the heavier model is not installed: uv pip install 'watchbill[forecast]'")
        return []
    folder, daily = os.environ.get("WATCHBILL_BENCH_SERIES"), os.environ.get("WATCHBILL_BENCH_DAILY")
    given = [(*_read(path), 3600) for path in sorted(Path(folder).glob("*.csv"))] if folder else []
    given += [(*_read_days(path), 86_400) for path in sorted(Path(daily).glob("*.csv"))] if daily else []
    given = given or [(*one, 3600) for one in _made()]
    default: list[float] = []
    other: list[float] = []
    chosen: list[float] = []
    for name, start, values, step in given:
        day = 86_400 // step
        half = max(42 * day, len(values) // 2 // day * day)
        rivals = [heavier.Decomposed]
        learnt = forecast.compare(values[:half], start_at=start, step_seconds=step, rivals=rivals)
        ours, theirs = forecast.compare(values, start_at=start, step_seconds=step, rivals=rivals, since=half)
        if not ours.mae or not theirs.mae or not ours.naive_mae:
            continue
        taken = theirs if forecast.wins(learnt[1], learnt[0]) else ours
        for kept, one in ((default, ours), (other, theirs), (chosen, taken)):
            kept.append((one.mae or 0.0) / ours.naive_mae)
        print(
            f"     {name}, after day {half // day}: seasonal naive 1 (coverage {ours.naive_coverage:.3f}), default"
            f" {default[-1]:.3f} ({ours.coverage:.3f}), heavier {other[-1]:.3f} ({theirs.coverage:.3f}), chosen"
            f" {'heavier' if taken is theirs else 'default'} {chosen[-1]:.3f}; its coverage 1, 3 and 7 days ahead "
            + " ".join("–" if each is None else f"{each:.2f}" for each in ours.ahead)
        )
    return [
        Result(
            name=f"forecast error of the chosen model (always the default: {np.mean(default):.3f})",
            value=float(np.mean(chosen)),
            unit="of seasonal naive, after what the choice was made on",
            better="lower",
            peer="always the heavier model",
            peer_value=float(np.mean(other)),
            ratio=float(np.mean(chosen) / np.mean(other)),
        )
    ]


def _read_days(path: Path) -> tuple[str, datetime, np.ndarray]:
    """One value for each day; a day that is missing is a gap."""
    with path.open() as file:
        rows = [row for row in csv.reader(file) if row and row[0].strip('"')[:1].isdigit()]
    days = [datetime.fromisoformat(row[0][:10]).replace(tzinfo=UTC) for row in rows]
    values = np.full((max(days) - min(days)).days + 1, np.nan)
    for day, row in zip(days, rows, strict=True):
        values[(day - min(days)).days] = float(row[1]) if row[1] not in ("", "NA", "NaN") else np.nan
    return path.stem, min(days), values


def _read(path: Path) -> tuple[str, datetime, np.ndarray]:
    """Values of each whole hour added up, over whole days."""
    with path.open() as file:
        rows = [row for row in csv.reader(file) if row and row[0][:1].isdigit()]
    at = np.array([datetime.fromisoformat(row[0]).replace(tzinfo=UTC).timestamp() for row in rows])
    first, last = int(at[0] // 86_400 + 1) * 86_400, int(at[-1] // 86_400) * 86_400
    place = ((at - first) // 3600).astype(int)
    values = np.zeros((last - first) // 3600)
    inside = (place >= 0) & (place < len(values))
    np.add.at(values, place[inside], np.array([float(row[1]) for row in rows])[inside])
    return path.stem, datetime.fromtimestamp(first, UTC), values


def _made() -> list[tuple[str, datetime, np.ndarray]]:
    start = datetime(2026, 1, 5, tzinfo=UTC)
    return [(f"made {seed}", start, _shape(91, np.random.default_rng(seed))) for seed in range(6)]


def _shape(days: int, generator: np.random.Generator) -> np.ndarray:
    hours = np.arange(days * 24)
    daily = 1 + 0.6 * np.sin(2 * np.pi * (hours % 24 - 8) / 24)
    drift = np.exp(np.cumsum(0.01 * generator.standard_normal(len(hours)) / 5))
    return np.asarray(100 * daily * drift * np.exp(0.1 * generator.standard_normal(len(hours))))


def _fit() -> Result:
    found = usl.fit(_SPECSDM91)
    off = max(
        abs(value / published - 1)
        for value, published in zip((found.alpha, found.beta, found.gamma), _PUBLISHED, strict=True)
    )
    return Result(
        name="usl_fit",
        value=100 * off,
        unit="% off the published coefficients",
        better="lower",
        limit="equal to the digits published",
        limit_value=0.1,
    )


def _night() -> Result:
    """Fresh PostgreSQL, 91 days of one operation for each service; one night, by the wall clock."""
    with tempfile.TemporaryDirectory(prefix="wbbench-") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL's user must get in when root starts it
        postgres = EmbeddedPostgres(Path(folder))
        url = postgres.start()
        try:
            migrate.upgrade(url)
            db = Database(url, name="bench", statement_timeout_ms=300_000)
            try:
                _prepare(db)
                began, before = time.perf_counter(), _cpu_seconds()
                done = nightly.work_night(db, None)
                minutes = (time.perf_counter() - began) / 60 * (10_000 / SERVICES)
                each = 1000 * (_cpu_seconds() - before) / SERVICES
                assert done == SERVICES
                print(
                    f"     {SERVICES:,} services in {60 * minutes * SERVICES / 10_000:.0f} s by {os.cpu_count()} cores:"
                    f" {each:.0f} ms of CPU each without PostgreSQL's;"
                    f" the heavier model is {'' if heavier.installed() else 'not '}installed: {_tried(db)} tried"
                )
            finally:
                db.dispose()
        finally:
            postgres.stop()
    return Result(
        name="capacity_night",
        value=minutes,
        unit="minutes for 10,000 services" + ("" if SERVICES == 10_000 else f" (from {SERVICES:,})"),
        better="lower",
        limit="under 10 minutes on two cores",
        limit_value=10.0,
    )


def _cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _tried(db: Database) -> int:
    """How many series the heavier model was tried on."""
    table = capacity_forecast
    with db.transaction() as tx:
        found = tx.execute(sa.select(sa.func.count()).where(table.c.operation == "", _told(table.c.data["rival_mae"])))
        return int(found.scalar() or 0)


def _told(value: Any) -> Any:
    return sa.and_(value.is_not(None), sa.func.jsonb_typeof(value) == "number")


def _prepare(db: Database) -> None:
    generator = np.random.default_rng(1)
    with db.transaction() as tx:
        now = tx.now
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        owner = new_id()
        common = {"former_names": [], "source": "bench", "spec_hash": "x", "created_at": now, "updated_at": now}
        insert_many(tx, team, [{**common, "id": owner, "name": "t", "title": "t", "spec": {}, "fallback": False}])
        spec = {"capacity": {"perReplica": 50, "replicas": 5, "replicaPrice": 90}}
        services = [
            {**common, "id": new_id(), "name": f"service-{at:05}", "title": f"service-{at:05}",
             "telemetry_name": f"service-{at:05}", "team_id": owner, "tier": 3, "spec": spec}
            for at in range(SERVICES)
        ]  # fmt: skip
        insert_many(tx, service, services)
    shapes = [_shape(91, generator).reshape(91, 24).round(2).tolist() for _ in range(50)]
    for first in range(0, SERVICES, 100):
        rows = [
            {"service_id": one["id"], "operation": "all requests", "kind": "rate",
             "day_at": today - timedelta(days=91 - day), "mean": values, "peak": values}
            for at, one in enumerate(services[first : first + 100])
            for day, values in enumerate(shapes[at % 50])
        ]  # fmt: skip
        with db.transaction() as tx:
            insert_many(tx, capacity_day, rows)
    with db.transaction() as tx:
        assert len(catalog.services(tx)) == SERVICES
