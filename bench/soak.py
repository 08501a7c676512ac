"""Paging under random faults on the virtual clock: ``python -m bench.soak [SECONDS] [SEED]``.

Each life draws an organisation, its incidents, its people and everything that goes wrong from its own seed, and lives
for ten days against a real database (see `bench._sim_life`; what must hold is in `bench._sim_check`). Lives follow each
other, SEED, SEED + 1 …, on every core; ``SECONDS=1 SEED=n`` lives life n alone once more.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import psycopg

from bench._sim_life import Life, Report, forget
from watchbill.kernel.clock import VirtualClock
from watchbill.runtime import migrate
from watchbill.runtime.postgres import EmbeddedPostgres
from watchbill.runtime.postgres.server import DATABASE

DAYS = 10.0


def lives(url: str, seeds: Iterable[int], *, seconds: float, days: float = DAYS) -> Iterator[Report]:
    """One life after the other until the time is over; at least one. A broken promise ends it."""
    until = time.monotonic() + seconds
    try:
        for seed in seeds:
            report = Life(url, seed, days=days).live()
            yield report
            if report.lost or time.monotonic() >= until:
                return
    finally:
        forget(url)


def closing_line(reports: Iterable[Report], *, seed: int, seconds: float) -> str:
    """What was simulated, in one line."""
    all_of = list(reports)
    team_days = sum(report.team_days for report in all_of)
    faults = sum(sum(report.faults.values()) for report in all_of)
    lost = sum(len(report.lost) for report in all_of)
    pages, sent = sum(report.pages for report in all_of), sum(report.sent for report in all_of)
    repeated = sum(report.repeated for report in all_of)
    rate = team_days / max(seconds, 0.001) * 60
    return (
        f"soak: {team_days:,.0f} team-days simulated ({rate:,.0f} a minute), {len(all_of)} seeds, {pages:,} pages,"
        f" {sent:,} messages ({repeated} repeated), {faults:,} faults injected, {lost} pages lost, seed {seed}"
    )


def say_lost(report: Report) -> None:
    """The broken promises of one life, and how to see them again."""
    for line in report.lost:
        print(f"LOST seed {report.seed}: {line}")
    if report.lost:
        print(f"again: make soak SECONDS=1 SEED={report.seed}", flush=True)


def soak(url: str, *, seconds: float, seed: int, days: float = DAYS) -> int:
    """Live in this process until the time is over; prints the closing line, returns how many promises were broken."""
    began = time.monotonic()
    reports = []
    for report in lives(url, range(seed, sys.maxsize), seconds=seconds, days=days):
        reports.append(report)
        say_lost(report)
    print(closing_line(reports, seed=seed, seconds=time.monotonic() - began))
    return sum(len(report.lost) for report in reports)


def _core(url: str, first: int, step: int, seconds: float, out: multiprocessing.Queue[Report | None]) -> None:
    try:
        for report in lives(url, range(first, sys.maxsize, step), seconds=seconds):
            out.put(report)
    finally:
        out.put(None)


def _on_every_core(urls: list[str], *, seconds: float, seed: int) -> list[Report]:
    spawn = multiprocessing.get_context("spawn")
    out: multiprocessing.Queue[Report | None] = spawn.Queue()
    cores = [
        spawn.Process(target=_core, args=(url, seed + number, len(urls), seconds, out))
        for number, url in enumerate(urls)
    ]
    for core in cores:
        core.start()
    reports: list[Report] = []
    running = len(cores)
    while running:
        report = out.get()
        if report is None:
            running -= 1
            continue
        reports.append(report)
        say_lost(report)
    for core in cores:
        core.join()
        if core.exitcode:
            raise RuntimeError(f"a simulating process ended with {core.exitcode}")
    return reports


def _matrix(url: str, *, every: bool) -> int:
    """The crash matrix of all ways; ``every`` also plays the crashes that nobody could tell from another."""
    from tests.crash.matrix import START, enumerate_crashes, organise, summary
    from tests.crash.ways import WAYS

    stage, db = organise(url, VirtualClock(START))
    verdicts = []
    for way, story in WAYS.items():
        verdict = enumerate_crashes(way, story, stage, db, every=every)
        verdicts.append(verdict)
        for line in verdict.lost:
            print(f"LOST {line}")
    db.dispose()
    print(summary(verdicts), flush=True)
    return sum(len(verdict.lost) for verdict in verdicts)


def main(arguments: list[str]) -> int:
    """``[SECONDS] [SEED]``; a fresh seed each time unless one is given."""
    seconds = float(arguments[0]) if arguments else 60.0
    seed = int(arguments[1]) if len(arguments) > 1 else random.SystemRandom().randrange(1_000_000)
    cores = 1 if seconds <= 1 else min(8, os.cpu_count() or 1)
    print(f"soak: {seconds:g} s on {cores} cores, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="wbsoak-") as folder:
        os.chmod(folder, 0o711)
        not_durable = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        postgres = EmbeddedPostgres(Path(folder), settings=not_durable)
        url = postgres.start()
        try:
            migrate.upgrade(url)
            urls = [_copy(postgres, number) for number in range(cores)]
            began = time.monotonic()
            reports = _on_every_core(urls, seconds=seconds, seed=seed)
            took = time.monotonic() - began
            broken = sum(len(report.lost) for report in reports)
            faults = sum((Counter(report.faults) for report in reports), Counter[str]())
            print("faults: " + ", ".join(f"{count:,} {name}" for name, count in faults.most_common()))
            if seconds > 1:
                broken += _matrix(url, every=seconds >= 300)
            print(closing_line(reports, seed=seed, seconds=took))
            return 1 if broken else 0
        finally:
            postgres.stop()


def _copy(postgres: EmbeddedPostgres, number: int) -> str:
    name = f"life_{number}"
    with psycopg.connect(postgres.url_for("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE}")
    return postgres.url_for(name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
