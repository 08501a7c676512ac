"""Run the benches: ``python -m bench [NAME…]``; prints each figure beside its limit and writes bench/results.json.

A bench is a module here with ``run() -> list[Result]``; its file name (or a name in its ``NAMES``) is what ONLY takes.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import msgspec

from bench.results import Result

_HERE = Path(__file__).parent
_NOT_BENCHES = {"__init__", "__main__", "results", "soak"}


def main(wanted: list[str]) -> int:
    """Run those asked for (all when none), keep the other figures of an earlier run."""
    out = _HERE / "results.json"
    kept: dict[str, Result] = {}
    if wanted and out.exists():
        kept = {result.name: result for result in msgspec.json.decode(out.read_bytes(), type=list[Result])}
    missed = 0
    for path in sorted(_HERE.glob("*.py")):
        if path.stem in _NOT_BENCHES or path.stem.startswith("_"):
            continue
        module = importlib.import_module(f"bench.{path.stem}")
        names = {path.stem, *getattr(module, "NAMES", ())}
        if wanted and not names & set(wanted):
            continue
        for result in module.run():
            print(result.line(), flush=True)
            kept[result.name] = result
            missed += not result.meets_limit
    out.write_bytes(msgspec.json.format(msgspec.json.encode(list(kept.values())), indent=2) + b"\n")
    print(f"written: {out}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main([name for argument in sys.argv[1:] for name in argument.split(",") if name]))
