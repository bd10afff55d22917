# Everything runs in .venv, made on first use from the pinned versions in constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo test service slow bench check clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## .venv with the pinned packages; the targets below make it when they need it

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, got " + sys.version.split()[0] + "; set PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@echo "setting up $(VENV): some gigabytes the first time, a few minutes"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

demo: setup  ## the whole job on photographs that come with scikit-image
	@$(BIN)/dotpipe demo

test: setup  ## all tests but the slow ones
	@$(BIN)/python -m pytest -m "not slow and not benchmark_suite"

service: setup  ## tests with servers, workers and clusters that are killed; PostgreSQL is needed
	@$(BIN)/python -m pytest -m service

slow: setup  ## tests that need minutes, and the real photographs
	@$(BIN)/python -m pytest -m "slow and not service"

bench: setup  ## speed and memory, as ratios against bare loops
	@$(BIN)/python -m pytest tests/benchmarks -m benchmark_suite -s -o addopts=--import-mode=importlib

check: setup  ## formatter, linter, types, import rules
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo

clean:  ## remove .venv and all caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .benchmarks
