"""``watchbill capacity``: when it runs out, what breaks first, and what to order by when."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchbill.cli import capacity_plan, capacity_ramp
from watchbill.cli.output import Home, Json, emit
from watchbill.kernel.errors import Invalid, NotFound

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(help="Demand, capacity and forecasts: when it runs out, and what to order by when.")
app.command("list")(capacity_plan.listing)
app.command()(capacity_plan.forecast)
app.command()(capacity_plan.whatif)
app.command()(capacity_plan.push)
app.command()(capacity_plan.export)
app.command()(capacity_plan.review)
app.command()(capacity_plan.sign)
app.command()(capacity_plan.unsign)
app.command()(capacity_ramp.ramp)


@app.command()
def fit(
    files: Annotated[
        list[Path], typer.Argument(help="Results of k6, Locust, Gatling or JMeter, or CSV of load,throughput.")
    ],
    *,
    at_load: Annotated[float | None, typer.Option("--at", help="Also the throughput at this load.")] = None,
    for_rate: Annotated[float | None, typer.Option("--for", help="Also the load for this throughput.")] = None,
    latency_ms: Annotated[
        float | None, typer.Option("--latency-ms", help="Also the capacity at which requests take at most this long.")
    ] = None,
    save: Annotated[
        str | None, typer.Option("--save", help="Keep it as the capacity of one replica of this service.")
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Fit the Universal Scalability Law to a load test: where throughput peaks, and what one replica carries."""
    from watchbill.features.capacity import load_tests, usl

    test = load_tests.read_all([(str(path), _text(path)) for path in files])
    fitted = usl.fit(test.points)
    answer: dict[str, Any] = {"format": test.format, "notes": list(test.notes), "fit": fitted}
    if at_load is not None:
        answer["throughput_at"] = usl.throughput_at(fitted, at_load)
    if for_rate is not None:
        answer["load_for"] = usl.load_for(fitted, for_rate)
    refusal: Invalid | None = None
    try:
        limit = None if latency_ms is None else latency_ms / 1000
        answer["capacity"] = usl.capacity_at_latency(fitted, limit)
    except Invalid as error:
        answer["capacity"], answer["refused"], refusal = None, error.problem.message, error
    if save is not None and refusal is None:
        from watchbill.cli.client import Client, path_part

        body = {"fit": fitted, "points": test.points, "latency_ms": latency_ms}
        with Client.from_environment(home) as client:
            answer["saved"] = client.post(f"/api/v1/capacity/{path_part(save)}/curve", body)
    emit(answer, json=json, table=_fitted)
    if refusal is not None:
        raise refusal


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        return content.decode("utf-8")
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}", place=str(path), hint="check the path") from error
    except UnicodeDecodeError as error:
        raise Invalid(
            f"{path} is no text",
            place=str(path),
            hint="Gatling's simulation.log of 3.12 and later is none: give js/stats.json",
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise Invalid(
            f"{path} cannot be read: {error}", place=str(path), hint="give a text file, or one of gzip"
        ) from error


def _fitted(answer: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from watchbill.cli.output import facts

    made = answer["fit"]

    def interval(one: Any) -> str:
        return f"({one.low:.4g} – {'open' if one.high is None else format(one.high, '.4g')})"

    lines: dict[str, Any] = {
        "read": f"{made.points} points of {answer['format']}, up to load {made.tested_load:g}",
        "alpha (contention)": f"{made.alpha:.4g} {interval(made.alpha_interval)}",
        "beta (coherence)": f"{made.beta:.4g} {interval(made.beta_interval)}",
        "gamma (of one)": f"{made.gamma:.4g} {interval(made.gamma_interval)}",
        "R²": f"{made.r_squared:.4f}",
    }
    if made.peak_load is not None:
        lines["peak"] = (
            f"{made.peak_throughput:.4g}/s {interval(made.peak_throughput_interval)}"
            f" at load {made.peak_load:.4g} {interval(made.peak_load_interval)}"
        )
    if answer["capacity"] is not None:
        lines["capacity"] = f"{answer['capacity']:.4g}/s"
    if "throughput_at" in answer:
        lines["throughput there"] = f"{answer['throughput_at']:.4g}/s"
    if "load_for" in answer:
        lines["load for it"] = f"{answer['load_for']:.4g}"
    notes = [*answer["notes"], *made.notes, *([made.refused] if made.refused else [])]
    return Group(facts(lines), *(Text(f"  {note}", style="dim") for note in notes))
