"""How often a quiet service is paged for nothing, and how much later for a real outage: by simulation.

For each traffic, target and way of deciding: months of minutes with Poisson traffic, the usual two pairs that page, and
the service burning its budget at exactly the sustainable rate, and at three times of it (a ticket's matter, never a
page's). ``python -m bench.low_traffic`` prints the table of docs/decisions/0016.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from watchbill.features.slo import certainty

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Rule = Callable[[Ints, Ints, float], Bools]

PAIRS = ((5, 60, 14.4), (30, 360, 6.0))
MONTH = 30 * 1440
RULES: dict[str, Rule] = {
    "ratio alone": lambda bad, _total, _limit: np.ones(bad.shape, bool),
    "two failures": lambda bad, _total, _limit: bad >= 2,
    "and the bound": lambda bad, total, limit: (bad >= 2) & certainty.sure(bad, total, np.full(bad.shape, limit)),
    "as decided": lambda bad, total, limit: certainty.enough(bad, total, np.full(bad.shape, limit)),
}


def minutes(bad: Ints, total: Ints, share: float, rule: Rule) -> Bools:
    """In which minutes the service pages."""
    firing = np.zeros(bad.size, bool)
    ran_bad, ran_total = (np.concatenate(([0], np.cumsum(each))) for each in (bad, total))
    now = np.arange(1, bad.size + 1)
    for short, long, factor in PAIRS:
        limit = factor * share
        (bad_short, total_short), (bad_long, total_long) = (
            (
                ran_bad[now] - ran_bad[np.maximum(now - length, 0)],
                ran_total[now] - ran_total[np.maximum(now - length, 0)],
            )
            for length in (short, long)
        )
        over = np.flatnonzero((bad_short > limit * total_short) & (bad_long > limit * total_long))
        firing[over[rule(bad_long[over], total_long[over], limit)]] = True
    return firing


def episodes(firing: Bools) -> int:
    """Pages: stretches of minutes, those less than half an hour apart being one."""
    at = np.flatnonzero(firing)
    return 0 if at.size == 0 else 1 + int(np.count_nonzero(np.diff(at) > 30))


def false_pages(rate: float, share: float, burn: float, months: int, seed: int) -> dict[str, float]:
    """Pages a month by rule, with ``rate`` requests an hour."""
    rng = np.random.default_rng(seed)
    total = rng.poisson(rate / 60, months * MONTH)
    bad = rng.binomial(total, min(share * burn, 1.0))
    return {name: episodes(minutes(bad, total, share, rule)) / months for name, rule in RULES.items()}


def delay(rate: float, share: float, error: float, runs: int, seed: int) -> dict[str, float]:
    """Median minutes from the beginning of an outage in which ``error`` of requests fail until the page; nan: never."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[float]] = {name: [] for name in RULES}
    for _ in range(runs):
        total = rng.poisson(rate / 60, 360 + 240)
        bad = np.concatenate((rng.binomial(total[:360], share / 2), rng.binomial(total[360:], error)))
        for name, rule in RULES.items():
            firing = np.flatnonzero(minutes(bad, total, share, rule)[360:])
            found[name].append(float(firing[0] + 1) if firing.size else np.inf)
    return {name: float(np.median(each)) for name, each in found.items()}


def table(months: int = 24) -> Iterator[str]:
    """The lines of the record."""
    yield (
        "| target | requests/h | "
        + " | ".join(f"{name}: kept / 3×" for name in RULES)
        + " | minutes to a page, all fail |"
    )
    yield "|---|---|" + "---|" * (len(RULES) + 1)
    for target in (0.99, 0.999, 0.9999):
        share = 1 - target
        for rate in (6, 60, 600, 6000):
            kept = false_pages(rate, share, 1, months, seed=1)
            thrice = false_pages(rate, share, 3, months, seed=2)
            took = delay(rate, share, 1.0, 40, seed=3)
            cells = " | ".join(f"{kept[name]:.2f} / {thrice[name]:.2f}" for name in RULES)
            times = " / ".join("never" if np.isinf(took[name]) else f"{took[name]:.0f}" for name in RULES)
            yield f"| {target * 100:g} % | {rate} | {cells} | {times} |"


def main() -> None:
    """Print the table."""
    for line in table():
        print(line)


if __name__ == "__main__":
    main()
