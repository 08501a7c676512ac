"""``le="1"`` and ``le="1.0"`` are one bound of a histogram: Prometheus 3 writes the second, older ones the first."""

from __future__ import annotations

import re

_BOUND = re.compile(r"""\ble\s*=\s*(["'])([0-9]+)(?:\.0)?\1""")


def same_bounds(query: str) -> str:
    """The PromQL with both ways of writing a whole bound matched."""
    return _BOUND.sub(lambda match: f'le=~"{match[2]}([.]0)?"', query)
