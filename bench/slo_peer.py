"""A real Prometheus evaluating the same promises by Sloth-style rules, so that both stand side by side in one run.

For each SLO: error ratios over seven windows, the period's average as Sloth optimises it, two metadata rules, a page
and a ticket alert with two pairs of windows each. One day of a counter with two outcomes, a sample a minute; one core
(GOMAXPROCS).
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import yaml

SLOS = 100
_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
_PAGE = (("5m", "1h", 14.4), ("30m", "6h", 6.0))
_TICKET = (("2h", "1d", 3.0), ("6h", "3d", 1.0))
_SECONDS = 86_400
_EVERY = 5
_DURATION = re.compile(
    r'^prometheus_rule_group_last_duration_seconds\{rule_group="[^"]*;slo[0-9]+"\} (\S+)$', re.MULTILINE
)


def seconds_per_slo() -> float | None:
    """How long one cycle of one SLO takes, the median of several; None where Prometheus is not installed."""
    binary, tool = shutil.which("prometheus"), shutil.which("promtool")
    if binary is None or tool is None:
        return None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        now = int(time.time()) // 60 * 60
        (folder / "history").write_text(_history(now))
        subprocess.run(
            [tool, "tsdb", "create-blocks-from", "openmetrics", "history", "data"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [_group(number) for number in range(SLOS)]}))
        settings = {
            "global": {"scrape_interval": "1h", "evaluation_interval": f"{_EVERY}s"},
            "rule_files": ["rules.yml"],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            env={**os.environ, "GOMAXPROCS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return _measured(f"http://{address}/metrics")
        finally:
            process.kill()
            process.wait(10)


def _measured(url: str) -> float | None:
    cycles: list[float] = []
    deadline = time.monotonic() + 60
    while len(cycles) < 4 and time.monotonic() < deadline:
        time.sleep(_EVERY)
        try:
            took = [float(seconds) for seconds in _DURATION.findall(httpx.get(url).text)]
        except httpx.HTTPError:
            continue
        if len(took) == SLOS and min(took) > 0:
            cycles.append(sum(took) / SLOS)
    return sorted(cycles)[len(cycles) // 2] if cycles else None


def _history(now: int) -> str:
    lines = ["# TYPE requests counter"]
    for number in range(SLOS):
        for outcome, rate in (("ok", 200), ("failed", 1)):
            for minute in range(_SECONDS // 60 + 1):
                at = now - _SECONDS + minute * 60
                lines.append(f'requests_total{{slo="slo{number}",outcome="{outcome}"}} {rate * minute} {at}')
    return "\n".join([*lines, "# EOF", ""])


def _group(number: int) -> dict[str, Any]:
    chosen, labels = f'slo="slo{number}"', {"sloth_slo": f"slo{number}"}
    own = f'{{sloth_slo="slo{number}"}}'
    rules: list[dict[str, Any]] = [
        {
            "record": f"slo:sli_error:ratio_rate{window}",
            "expr": f'sum(rate(requests_total{{{chosen},outcome="failed"}}[{window}]))'
            f" / sum(rate(requests_total{{{chosen}}}[{window}]))",
            "labels": labels,
        }
        for window in _WINDOWS
    ]
    rules.append(
        {
            "record": "slo:sli_error:ratio_rate30d",
            "expr": f"sum_over_time(slo:sli_error:ratio_rate5m{own}[30d])"
            f" / count_over_time(slo:sli_error:ratio_rate5m{own}[30d])",
            "labels": labels,
        }
    )
    rules.append({"record": "slo:objective:ratio", "expr": "vector(0.999)", "labels": labels})
    rules.append({"record": "slo:error_budget:ratio", "expr": "vector(1-0.999)", "labels": labels})
    for name, pairs in (("page", _PAGE), ("ticket", _TICKET)):
        expression = " or ".join(
            f"(max(slo:sli_error:ratio_rate{short}{own} > ({factor} * 0.001)) without (sloth_window)"
            f" and max(slo:sli_error:ratio_rate{long}{own} > ({factor} * 0.001)) without (sloth_window))"
            for short, long, factor in pairs
        )
        rules.append({"alert": f"burn-{name}", "expr": expression, "labels": labels})
    return {"name": f"slo{number}", "rules": rules}
