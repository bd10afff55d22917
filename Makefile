# Everything runs in .venv, made on first use from the pinned versions in constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/.runs
READY := $(VENV)/.ready
AUDIT := $(VENV)/.audit
export UV_TORCH_BACKEND ?= auto

.PHONY: help setup demo test service slow bench bench-gpu check audit clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

# By uv where it is there, which takes torch from PyTorch's own index: the build for this machine's
# GPU, or the far smaller one for none. Where that fails, and by pip, torch is what the usual index
# has: on Linux the build for CUDA, which runs without a GPU as well. Last comes pip, whose index may
# be another than uv's.
WANTED = --constraint constraints.txt --editable
define install
@by_pip() { $(BIN)/python -m pip install -qq --disable-pip-version-check $(WANTED) '$(1)'; }; \
by_uv() { uv pip install --quiet --compile-bytecode --python $(BIN)/python $(WANTED) '$(1)'; }; \
if ! command -v uv >/dev/null; then by_pip; \
elif ! by_uv; then \
  echo "trying once more, with torch from the usual index"; \
  (unset UV_TORCH_BACKEND; by_uv) || { echo "trying once more, with pip"; by_pip; }; \
fi
@touch $@
endef

$(RUNS): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, got " + sys.version.split()[0] + "; set PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@echo "setting up $(VENV): some gigabytes the first time, a few minutes"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(call install,.)

$(READY): $(RUNS)
	$(call install,.[dev])

setup: $(READY)  ## .venv with the pinned packages; the targets below make it when they need it

demo: $(RUNS)  ## the whole job on photographs that come with scikit-image
	@$(BIN)/dotpipe demo

test: setup  ## all tests but the slow ones
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not benchmark_suite"

service: setup  ## tests with servers, workers and clusters that are killed; PostgreSQL is needed
	@$(BIN)/python -m pytest -m service

slow: setup  ## tests that need minutes, and the real photographs
	@$(BIN)/python -m pytest -m "slow and not service"

bench: setup  ## speed and memory, as ratios against bare loops
	@$(BIN)/python -m pytest tests/benchmarks -m benchmark_suite -s -o addopts=--import-mode=importlib

bench-gpu: setup  ## images per second on a GPU: eager, compiled, five alphas, a bare loop
	@OMP_NUM_THREADS=1 PYTHONPATH=tests/support $(BIN)/python tests/benchmarks/devices/throughput.py

check: setup  ## formatter, linter, types, import rules
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo

# The advisories are not in mirrors of the index: --strict fails where a package is not found there.
audit:  ## known faults of the pinned packages, from PyPI's advisories; needs a connection
	@test -x $(AUDIT)/bin/pip-audit || { $(PYTHON) -m venv $(AUDIT) && \
	  $(AUDIT)/bin/pip install -qq --disable-pip-version-check pip-audit==2.10.1; }
	@$(AUDIT)/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off \
	  --requirement constraints.txt

clean:  ## remove .venv and all caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .benchmarks
