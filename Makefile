# make run [MANIFEST=path] [CONFIG=path] [OUT=dir] [ARGS="--only failed"]
# With a MANIFEST the Gradium service is asked, unless CONFIG says otherwise; without one it is the sample, on this machine.
# A fresh machine needs python 3.11 or newer, make and git; versions are those of requirements.lock.

ifdef MANIFEST
CONFIG   ?= configs/gradium.toml
else
MANIFEST := manifests/sample.csv
CONFIG   ?= configs/local.toml
endif
OUT      ?=
ARGS     ?=
PYTHON   ?= python3

VENV     := .venv
BIN      := $(VENV)/bin
INSTALL  := PIP_CONSTRAINT=requirements.lock PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet
COMMAND  := $(BIN)/gradium-batch

.PHONY: run rerun-failed plan test test-all check format bench bench-quick lock clean help

run: $(VENV)/.run ## transcribe MANIFEST
	$(COMMAND) run "$(MANIFEST)" --config "$(CONFIG)" $(if $(OUT),--out "$(OUT)") $(ARGS)

rerun-failed: $(VENV)/.run ## send again only what failed
	$(COMMAND) run "$(MANIFEST)" --config "$(CONFIG)" $(if $(OUT),--out "$(OUT)") --only failed $(ARGS)

plan: $(VENV)/.run ## what a run would send and cost; sends nothing
	$(COMMAND) check "$(MANIFEST)" --config "$(CONFIG)" $(if $(OUT),--out "$(OUT)") $(ARGS)

test: $(VENV)/.dev ## the tests
	$(BIN)/python -m pytest $(ARGS)

test-all: $(VENV)/.dev ## the tests, long forms included
	$(BIN)/python -m pytest -m "slow or not slow" $(ARGS)

check: $(VENV)/.dev ## lint, types, import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## measured comparisons
	$(BIN)/python -m benchmarks $(ARGS)

bench-quick: $(VENV)/.dev ## whether sending got slower than the stored baseline, in less than a minute
	$(BIN)/python -m benchmarks.quick

lock: $(VENV)/.dev ## bring requirements.lock up to date
	$(BIN)/python -m pip install --quiet uv
	(echo "# Exact versions of everything a checkout installs, for every platform; made by 'make lock'."; \
	 printf 'hatchling\neditables\n' | $(BIN)/uv pip compile --universal --python-version 3.11 --quiet --no-annotate \
	   --no-header --all-extras --upgrade pyproject.toml -) > requirements.lock.new
	mv requirements.lock.new requirements.lock

clean: ## remove what make and the runs made
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml requirements.lock | $(BIN)/python
	$(INSTALL) -e '.[local]'
	touch $@

$(VENV)/.dev: pyproject.toml requirements.lock | $(BIN)/python
	$(INSTALL) -e '.[local,dev]'
	touch $@ $(VENV)/.run
