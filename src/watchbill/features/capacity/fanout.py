"""Fan-out: how often a root trace of an operation calls each component, with a bootstrap over traces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from watchbill.features.capacity.model import Fanout
from watchbill.features.telemetry import TraceCalls

FEWEST_TRACES = 30
_RESAMPLES = 400


def estimate(traces: Sequence[TraceCalls], *, seed: int = 7) -> list[Fanout]:
    """Weighted means of calls and of busy milliseconds for each component, by name; [] under thirty traces.

    Fan-out depends on load where traces of the busier half call it otherwise: the bootstrap interval of the
    difference leaves out 0, and the difference is over a tenth.
    """
    if len(traces) < FEWEST_TRACES:
        return []
    names = sorted({name for trace in traces for name in trace.calls})
    place = {name: at for at, name in enumerate(names)}
    calls, busy = np.zeros((len(traces), len(names))), np.zeros((len(traces), len(names)))
    for row, trace in enumerate(traces):
        for name, count in trace.calls.items():
            calls[row, place[name]] = count
            busy[row, place[name]] = trace.busy_ms.get(name, 0.0)
    weight = np.array([trace.weight for trace in traces])
    load = np.array([trace.load for trace in traces])
    high = load > np.median(load)
    if high.sum() < FEWEST_TRACES // 2:
        # Most traces are of minutes that are all as busy as the busiest: those are the busier half.
        high = load >= np.median(load)
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, len(traces), (_RESAMPLES, len(traces)))
    means = np.array([_mean(calls[rows], weight[rows]) for rows in drawn])
    mean = _mean(calls, weight)
    depends = np.zeros(len(names), dtype=bool)
    if high.sum() >= FEWEST_TRACES // 2 and (~high).sum() >= FEWEST_TRACES // 2:
        gaps = np.array(
            [
                _mean(calls[rows][high[rows]], weight[rows][high[rows]])
                - _mean(calls[rows][~high[rows]], weight[rows][~high[rows]])
                for rows in drawn
                if high[rows].any() and not high[rows].all()
            ]
        )
        low_gap, high_gap = np.quantile(gaps, (0.005, 0.995), axis=0)
        gap = _mean(calls[high], weight[high]) - _mean(calls[~high], weight[~high])
        depends = ((low_gap > 0) | (high_gap < 0)) & (np.abs(gap) > 0.1 * np.maximum(mean, 1e-9))
    low_mean, high_mean = np.quantile(means, (0.025, 0.975), axis=0)
    busy_mean = _mean(busy, weight)
    return [
        Fanout(
            component=name,
            mean=float(mean[at]),
            low=float(low_mean[at]),
            high=float(high_mean[at]),
            busy_ms=float(busy_mean[at]),
            depends_on_load=bool(depends[at]),
        )
        for name, at in place.items()
    ]


def _mean(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    found: np.ndarray = (values * weight[:, None]).sum(axis=0) / max(1e-12, float(weight.sum()))
    return found
