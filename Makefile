# The commands that the README names, on a fresh clone with nothing but Python 3.11+: each makes the virtual
# environment where it is missing or stale, and installs what it needs.
#
#   make demo ARGS="--orders 20000 --once"     passes arguments on
#   make test ARGS="-k window"                 likewise, to pytest
#   make test JOBS=4                           in so many processes, each with a broker of its own (0: in this one)
#   make test PYTHON=python3.12                chooses the interpreter (also after `make clean`)

PYTHON ?= python3
ARGS ?=
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
NATIVE := $(wildcard streams/native/Cargo.* streams/native/src/*.rs)

.DEFAULT_GOAL := help
.PHONY: help demo test check bench growth scale simulation fuzz soak schemas manifests generated clean

help:  ## show this
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1#\2/p' Makefile | awk -F'#' '{printf "%-17s %s\n", $$1, $$2}'

demo: $(STAMP)  ## orders, donations, totals and the audit on a real Kafka, on this machine
	@$(BIN)/everycent demo $(ARGS)

test: $(STAMP)  ## every test, also those on the real broker
	@$(BIN)/python -m pytest --durations=10 --numprocesses=$(JOBS) --dist=worksteal $(ARGS)

check: $(STAMP)  ## lint, format, types, what is generated, deployment files, direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@cargo --version >/dev/null 2>&1 || { echo "make: no cargo here, so the extension isn't checked"; exit 0; }; \
	  cd streams/native && cargo fmt --check && cargo clippy --quiet --all-targets -- -D warnings && cargo test --quiet
	@$(BIN)/python -m schemas.documents --check
	@$(BIN)/python -m streams.monitoring --check
	@$(BIN)/python -m pytest -q tests/test_structure.py tests/deploy

bench: $(STAMP)  ## throughput, CPU and memory of a worker, beside other engines
	@$(BIN)/python -m tests.bench $(ARGS)

growth: $(STAMP)  ## how the cost of an order grows: docs/growth.md with its plots, measured anew
	@$(BIN)/python -m tests.bench.growth $(ARGS)

scale: $(STAMP)  ## what ten billion donations a year ask for: docs/scale.md, from the measured prices
	@$(BIN)/python -m tests.bench.scale $(ARGS)

simulation: $(STAMP)  ## thousands of seeded runs with faults on a fake Kafka and clock
	@$(BIN)/python -m tests.simulation $(ARGS)

fuzz: $(STAMP)  ## hostile orders by the hundred thousand, through Rust, Python and a worker on the real broker
	@$(BIN)/python -m tests.hostile $(ARGS)

soak: $(STAMP)  ## 20 minutes of live load, a worker restarted every minute: latency, memory, logs, audit
	@$(BIN)/python -m tests.soak $(ARGS)

schemas: $(STAMP)  ## write schemas/published anew from the code
	@$(BIN)/python -m schemas.documents

manifests: $(STAMP)  ## write the generated Kubernetes manifests anew from the code
	@$(BIN)/python deploy/kubernetes/strimzi/generate.py

generated: $(STAMP)  ## write docs/metrics.md and the dashboard anew from the code
	@$(BIN)/python -m streams.monitoring

clean:  ## remove what these commands made, the environment included
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stale when pyproject.toml or the extension's source is newer: an environment is then brought up to it; it is made from nothing where it's
# missing, half made, or its interpreter has gone.
$(STAMP): pyproject.toml $(NATIVE)
	@command -v $(PYTHON) >/dev/null || { \
	  echo "make: no $(PYTHON) here. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: $$($(PYTHON) --version) is too old, everycent needs 3.11 or newer. Name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  rm -rf $(VENV); \
	  $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	    echo "make: $(PYTHON) can't make virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }; \
	  $(PYTHON) -m venv $(VENV); }
	@echo "Installing what pyproject.toml asks for into $(VENV) (once, and again when that file changes; a minute or two) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
