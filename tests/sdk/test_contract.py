"""The page about the metrics contract and the code say the same; the package keeps its promises about itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from watchbill_sdk import contract, errors

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "reference" / "reliability-contract.md").read_text(encoding="utf-8")


def test_every_metric_of_the_page_is_emitted_as_it_says_and_no_other() -> None:
    rows = re.findall(r"^\| `(reliability\.[a-z._]+)` \| (\w+) \| `([^`]+)` \| ([^|]*) \|", PAGE, re.MULTILINE)
    written = {(name, kind, unit, tuple(re.findall(r"`([^`]+)`", keys))) for name, kind, unit, keys in rows}
    assert written == {(i.name, i.kind, i.unit, i.attributes) for i in contract.INSTRUMENTS}


def test_every_header_span_attribute_and_reason_is_on_the_page() -> None:
    names = [
        contract.DEADLINE_HEADER,
        contract.ENVOY_DEADLINE_HEADER,
        contract.PRIORITY_HEADER,
        contract.DEGRADED_HEADER,
        contract.SPAN_DEGRADED,
        contract.SPAN_DEGRADED_DEPENDENCIES,
        *(kind.code for kind in errors.Rejected.__subclasses__()),
    ]
    assert [name for name in names if f"`{name}`" not in PAGE] == []


def test_importing_the_package_brings_no_framework_and_no_exporter() -> None:
    asked = (
        "import sys, watchbill_sdk; "
        "print([m for m in ('fastapi', 'starlette', 'litestar', 'django', 'flask', 'aiohttp', 'grpc', 'httpx',"
        " 'requests', 'opentelemetry.sdk', 'structlog', 'watchbill') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() in ("[]", "['structlog']"), "stamina looks for structlog when it is installed"
