# Each target sets up all it needs: a machine with Python >= 3.11, make and the package registries will do.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
XDIST ?= 3
ONLY ?=
SECONDS ?= 60
SEED ?=

.PHONY: help setup demo demo-once test check lint types contracts docs bench soak constraints browser clean

help:
	@echo "make demo    start Watchbill and a shop, break it, and tell the story (ONCE=1 ends by itself)"
	@echo "make test    every test"
	@echo "make check   what CI runs: tests, lint, types, import contracts, docs"
	@echo "make docs    write docs/reference from the code"
	@echo "make bench   measure; ONLY=name for one figure"
	@echo "make soak    simulate weeks of paging with faults; SECONDS=60 SEED=n"

setup: $(READY)

$(READY): pyproject.toml constraints.txt sdk/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=python3.x"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "on Debian: apt-get install python3-venv"; exit 1; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[draft,embedded,forecast,kubernetes]' -e ./sdk --group dev --group examples --group sdk --group bench
	@touch $@

# Browser tests use the distribution's Chromium.
browser:
	@sh .ci/browser

demo: $(READY)
	$(BIN)/python -m examples.demo

# For CI: checks every step, exits 0 or 1; KILL=1 ends Watchbill's processes with kill -9 in the middle.
demo-once: $(READY)
	ONCE=1 $(BIN)/python -m examples.demo

test: $(READY) browser
	$(BIN)/pytest -n $(XDIST) --dist worksteal tests

lint: $(READY)
	$(BIN)/ruff check src tests sdk examples bench

types: $(READY)
	$(BIN)/mypy
	$(BIN)/mypy --strict sdk/src

contracts: $(READY)
	$(BIN)/lint-imports
	$(BIN)/deptry .

# The reference pages from the code; a test says when they are out of date.
docs: $(READY)
	$(BIN)/python docs/generate.py

check: $(READY) lint types contracts test

bench: $(READY)
	$(BIN)/python -m bench $(ONLY)

soak: $(READY)
	$(BIN)/python -m bench.soak $(SECONDS) $(SEED)

constraints:
	$(BIN)/uv pip compile --quiet --python $(BIN)/python --python-version 3.11 --universal --all-extras --group dev --group examples --group sdk --group bench --no-annotate --no-header --no-emit-index-url --upgrade -o constraints.txt pyproject.toml sdk/pyproject.toml

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
