"""Find every table: each feature declares its own in ``features/<name>/store.py``.

The runtime knows no feature by name; it looks what is there.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import watchbill


def import_stores() -> list[str]:
    """Import each ``watchbill.features.<name>.store``; returns their module names, sorted."""
    features = importlib.import_module(f"{watchbill.__name__}.features")
    found: list[str] = []
    for feature in sorted(pkgutil.iter_modules(features.__path__), key=lambda module: module.name):
        name = f"{features.__name__}.{feature.name}.store"
        if feature.ispkg and Path(features.__path__[0], feature.name, "store.py").exists():
            importlib.import_module(name)
            found.append(name)
    return found
