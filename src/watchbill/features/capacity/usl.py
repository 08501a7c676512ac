"""The Universal Scalability Law: throughput X as a function of load N (users, threads or processors).

    X(N) = γ·N / (1 + α·(N − 1) + β·N·(N − 1))

α is contention, β the cost of coherence, γ the throughput of one (N. Gunther, *Guerrilla Capacity Planning*, 2007).
Beyond N = √((1 − α)/β) more load gives less. By Little's law a request then takes R(N) = N / X(N).

The law is fitted by bounded least squares. Its intervals are Student's t on the curvature of the fit, and for the peak
a bootstrap of the residuals; both are wide with few points, as they should be. Nothing is said beyond 1.5 times the
load that was tested: on published data, fits to the lower half of a test missed the true peak by up to a third.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from watchbill.kernel.errors import Invalid

FEWEST = 6
"""Points at distinct loads below which three coefficients are not worth their name."""
FARTHEST = 1.5
"""Times the largest tested load beyond which nothing is said."""
_RESAMPLES = 200
_LEVEL = 0.95


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A 95% interval; ``high`` None when it is open."""

    low: float
    high: float | None


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """A fitted law. ``peak_*`` are None, with ``refused`` saying why, when the test does not show where it ends."""

    alpha: float
    beta: float
    gamma: float
    alpha_interval: Interval
    beta_interval: Interval
    gamma_interval: Interval
    r_squared: float
    points: int
    tested_load: float
    tested_throughput: float
    peak_load: float | None = None
    peak_throughput: float | None = None
    peak_load_interval: Interval | None = None
    peak_throughput_interval: Interval | None = None
    refused: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def farthest_load(self) -> float:
        """The largest load about which anything is said."""
        return FARTHEST * self.tested_load


def throughput(alpha: float, beta: float, gamma: float, n: float) -> float:
    """X(N) of the law."""
    return gamma * n / (1 + alpha * (n - 1) + beta * n * (n - 1))


def fit(points: Sequence[tuple[float, float]], *, bootstrap: bool = True) -> Fit:
    """Fit the law to (load, throughput) pairs, in any order; several of one load are fine. Without ``bootstrap`` the
    peak has no interval, and the fit takes a hundredth of the time.

    Raises:
        Invalid: fewer than six distinct loads, a load or throughput that is not positive and finite, or all of one
            throughput.
    """
    import numpy as np
    from scipy import stats

    loads, rates = _checked(points)
    n, x = np.asarray(loads), np.asarray(rates)
    found, jacobian = _solve(n, x)
    residuals = x - _law(found, n)
    freedom = max(1, len(n) - 3)
    variance = float(residuals @ residuals) / freedom
    errors = np.sqrt(np.maximum(0.0, np.diag(np.linalg.pinv(jacobian.T @ jacobian)) * variance))
    reach = float(stats.t.ppf(0.5 + _LEVEL / 2, freedom)) * errors
    spread = float(((x - x.mean()) ** 2).sum())
    alpha, beta, gamma = (float(each) for each in found)
    made = Fit(
        alpha=alpha,
        beta=beta,
        gamma=gamma,
        alpha_interval=Interval(low=max(0.0, alpha - float(reach[0])), high=alpha + float(reach[0])),
        beta_interval=Interval(low=max(0.0, beta - float(reach[1])), high=beta + float(reach[1])),
        gamma_interval=Interval(low=max(0.0, gamma - float(reach[2])), high=gamma + float(reach[2])),
        r_squared=1 - float(residuals @ residuals) / spread,
        points=len(n),
        tested_load=float(n.max()),
        tested_throughput=float(x.max()),
        notes=_notes(alpha, 1 - float(residuals @ residuals) / spread, float(reach[0])),
    )
    return _with_peak(made, n, residuals, bootstrap=bootstrap)


def _checked(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    for place, (n, x) in enumerate(points, start=1):
        if not (math.isfinite(n) and math.isfinite(x) and n > 0 and x >= 0):
            raise Invalid(
                f"point {place} is load {n:g} with throughput {x:g}",
                field="points",
                hint="loads are above zero and throughputs not below; leave out points that were not measured",
            )
    ordered = sorted(points)
    distinct = len({n for n, _ in ordered})
    if distinct < FEWEST:
        raise Invalid(
            f"{distinct} distinct loads are too few for three coefficients",
            code="load_test_too_short",
            field="points",
            hint=f"test at {FEWEST} loads or more, from one user to beyond where throughput stops growing",
        )
    if len({x for _, x in ordered}) == 1:
        raise Invalid(
            "every load has the same throughput",
            code="load_test_constant",
            field="points",
            hint="either the load generator was the limit, or this is a configured rate and not a measurement",
        )
    return [n for n, _ in ordered], [x for _, x in ordered]


def _law(coefficients: Any, n: Any) -> Any:
    alpha, beta, gamma = coefficients
    return gamma * n / (1 + alpha * (n - 1) + beta * n * (n - 1))


def _solve(n: Any, x: Any) -> tuple[Any, Any]:
    import numpy as np
    from scipy.optimize import least_squares

    scale = float((x / n).max()) or 1.0
    solved = least_squares(
        lambda c: _law((c[0], c[1], c[2] * scale), n) - x,
        x0=(0.1, 0.001, 1.0),
        bounds=([0.0, 0.0, 1e-9], [1.0, np.inf, np.inf]),
        x_scale=(0.1, 0.001, 1.0),
        ftol=1e-14,
        xtol=1e-14,
        gtol=1e-14,
        max_nfev=2000,
    )
    found = solved.x.copy()
    found[2] *= scale
    jacobian = solved.jac.copy()
    jacobian[:, 2] /= scale
    return found, jacobian


def _notes(alpha: float, r_squared: float, reach: float) -> tuple[str, ...]:
    notes = []
    if alpha - reach <= 0:
        notes.append("the interval of alpha includes 0: contention is not told from none")
    if r_squared < 0.9:
        notes.append(f"R² is {r_squared:.2f}: this is scatter, as production gives, rather than a load test")
    return tuple(notes)


def _with_peak(made: Fit, n: Any, residuals: Any, *, bootstrap: bool) -> Fit:
    """The peak with its interval, or why there is none to tell."""
    import numpy as np

    at = peak_load(made.alpha, made.beta)
    if at is None or at > made.farthest_load:
        where = "nowhere" if at is None else f"at load {at:.4g}"
        return msgspec.structs.replace(
            made,
            refused=(
                f"the load test never saturates: it ends at load {made.tested_load:g} and the law would peak {where}; "
                f"what it shows is that at least {made.tested_throughput:.4g} is carried"
            ),
        )
    shown = msgspec.structs.replace(
        made, peak_load=at, peak_throughput=throughput(made.alpha, made.beta, made.gamma, at)
    )
    if not bootstrap:
        return shown
    generator = np.random.default_rng(20_240_501)
    inflated = (residuals - residuals.mean()) * math.sqrt(len(n) / max(1, len(n) - 3))
    centre = _law((made.alpha, made.beta, made.gamma), n)
    loads, rates = [], []
    for _ in range(_RESAMPLES):
        again, _jacobian = _solve(n, np.maximum(0.0, centre + generator.choice(inflated, len(n))))
        peak = peak_load(float(again[0]), float(again[1]))
        loads.append(math.inf if peak is None else peak)
        rates.append(throughput(float(again[0]), float(again[1]), float(again[2]), min(loads[-1], made.farthest_load)))
    return msgspec.structs.replace(
        shown,
        peak_load_interval=_percentiles(loads),
        peak_throughput_interval=_percentiles(rates),
    )


def _percentiles(values: Sequence[float]) -> Interval:
    ordered = sorted(values)
    edge = (1 - _LEVEL) / 2
    low, high = ordered[int(edge * len(ordered))], ordered[math.ceil((1 - edge) * len(ordered)) - 1]
    return Interval(low=low, high=high if math.isfinite(high) else None)


def peak_load(alpha: float, beta: float) -> float | None:
    """The load of the largest throughput, at least 1; None when throughput never falls."""
    return None if beta <= 0 else max(1.0, math.sqrt(max(0.0, 1 - alpha) / beta))


def throughput_at(fitted: Fit, load: float) -> float:
    """X at this load.

    Raises:
        Invalid: the load is not positive, or beyond 1.5 times what was tested.
    """
    _check_reach(fitted, load)
    return throughput(fitted.alpha, fitted.beta, fitted.gamma, load)


def load_for(fitted: Fit, wanted: float) -> float:
    """The smallest load with this throughput: the smaller root of βX·N² + (X(α − β) − γ)·N + X(1 − α) = 0.

    Raises:
        Invalid: no load gives that much, or one that lies beyond 1.5 times what was tested.
    """
    alpha, beta, gamma = fitted.alpha, fitted.beta, fitted.gamma
    if not (math.isfinite(wanted) and wanted > 0):
        raise Invalid(f"a throughput of {wanted:g} is not above zero", field="throughput", hint="give a rate")
    a, b, c = beta * wanted, wanted * (alpha - beta) - gamma, wanted * (1 - alpha)
    inside = b * b - 4 * a * c
    if -1e-9 * b * b < inside < 0:
        inside = 0.0  # at the peak itself, but for rounding
    if b >= 0 or inside < 0:
        most = fitted.peak_throughput
        raise Invalid(
            f"no load gives {wanted:.4g}" + (f": the most is {most:.4g}" if most is not None else ""),
            code="beyond_peak",
            field="throughput",
            hint="add replicas, or make what they contend for cheaper",
        )
    # 2c / (−b + √…) is the smaller root without cancellation, and right for β = 0 too.
    found = 2 * c / (-b + math.sqrt(inside))
    _check_reach(fitted, found)
    return found


def capacity_at_latency(fitted: Fit, seconds: float | None = None) -> float:
    """The largest throughput whose requests take at most ``seconds`` by Little's law; at the peak without a limit.

    R(N) grows with N, so the last load within the limit is the root of βN² + (α − β)N + (1 − α) − γR = 0.

    Raises:
        Invalid: one request alone takes longer, or the test does not show where throughput ends.
    """
    alpha, beta, gamma = fitted.alpha, fitted.beta, fitted.gamma
    top = fitted.peak_load
    if seconds is None:
        if fitted.peak_throughput is None:
            raise Invalid(
                fitted.refused or "the peak is not known",
                code="load_test_unsaturated",
                field="points",
                hint="test with more load, until throughput stops growing",
            )
        return fitted.peak_throughput
    rest = 1 - alpha - gamma * seconds
    if 1 / gamma > seconds:
        raise Invalid(
            f"one request alone takes {1000 / gamma:.4g} ms, longer than {1000 * seconds:g} ms",
            code="latency_unreachable",
            field="latency",
            hint="no number of replicas mends that; look at one request",
        )
    slope = alpha - beta
    if beta > 0:
        last = (-slope + math.sqrt(max(0.0, slope * slope - 4 * beta * rest))) / (2 * beta)
    else:
        last = -rest / slope if slope > 0 else math.inf
    last = min(max(1.0, last), top if top is not None else math.inf)
    _check_reach(fitted, last)
    return throughput(alpha, beta, gamma, last)


def _check_reach(fitted: Fit, load: float) -> None:
    if not load > 0:
        raise Invalid(f"a load of {load:g} is not above zero", field="load", hint="give a number of users")
    if load > fitted.farthest_load:
        raise Invalid(
            f"load {load:.4g} lies beyond {FARTHEST:g} times the largest tested one ({fitted.tested_load:g})",
            code="extrapolation_refused",
            field="load",
            hint="test with more load: what lies there cannot be told from this test",
        )
