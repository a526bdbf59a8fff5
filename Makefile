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
, := ,
INSTALL  := PIP_CONSTRAINT=requirements.lock PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet
COMMAND  := $(BIN)/gradium-batch
READERS  := lhotse kaldi_native_io urllib3 'nemo-toolkit[asr]' praat-parselmouth praatio imageio-ffmpeg

.PHONY: run rerun-failed plan test test-all test-readers check format bench bench-quick lock clean help

run: $(VENV)/.run ## transcribe MANIFEST
	$(COMMAND) run "$(MANIFEST)" --config "$(CONFIG)" $(if $(OUT),--out "$(OUT)") $(ARGS)

rerun-failed: $(VENV)/.run ## send again only what failed
	$(COMMAND) run "$(MANIFEST)" --config "$(CONFIG)" $(if $(OUT),--out "$(OUT)") --only failed $(ARGS)

plan: $(VENV)/.run ## what a run would send and cost; sends no audio
	$(COMMAND) check "$(MANIFEST)" --config "$(CONFIG)" $(if $(OUT),--out "$(OUT)") $(ARGS)

test: $(VENV)/.dev ## the tests
	$(BIN)/python -m pytest $(ARGS)

test-all: $(VENV)/.dev ## the tests, long forms included
	$(BIN)/python -m pytest -m "slow or not slow" $(ARGS)

test-readers: $(VENV)/.dev $(VENV)/readers/.made ## read exports by lhotse, NeMo and Praat themselves, in an environment of their own (7 GB)
	READERS_PYTHON=$(VENV)/readers/bin/python $(BIN)/python -m pytest tests/export/apart -n 0 -m slow $(ARGS)

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

# $(call install,WHAT,EXTRAS,TIME): .made tells a whole .venv from what an interrupted or failed `python -m venv` left.
define install
@echo "installing $(1) into $(VENV): $(3) the first time ..." >&2
@test -e $(VENV)/.made || { $(make_venv); }
@$(INSTALL) -e '.[$(2)]' >$(VENV)/pip.log 2>&1 || { $(say_pip_failed); }
endef

# what venv and pip say is long, and names the cause somewhere in it: one sentence instead, and their words in a file
define make_venv
found=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || found="not there"; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "cannot install: Python 3.11 or newer is needed, and $(PYTHON) is $$found;" \
	    "install one and name it: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }; \
	was_there=$$(test -e $(VENV) && echo yes); \
	said=$$($(PYTHON) -m venv $(VENV) 2>&1) && touch $(VENV)/.made || { \
	  test -n "$$was_there" || rm -rf $(VENV); \
	  case "$$said" in \
	    *ensurepip*|*"No module named venv"*) said="$(PYTHON) has no venv module;\
on Debian and Ubuntu: sudo apt install python$$found-venv (or python3-venv), then run make again";; \
	    *) said="$(PYTHON) -m venv $(VENV) failed: $$(echo "$$said" | tail -n 1)";; esac; \
	  echo "cannot install: $$said" >&2; exit 1; }
endef

define say_pip_failed
if grep -qiE "$(NO_NETWORK)" $(VENV)/pip.log; then \
	  why="no connection to the package index; check the network, or HTTPS_PROXY and PIP_INDEX_URL,"; \
	else why="$$(grep '^ *ERROR: ' $(VENV)/pip.log | tail -n 1 | cut -d : -f 2-);"; fi; \
	echo "cannot install:" $$why "then run make again (what pip said: $(VENV)/pip.log)" >&2; exit 1
endef
NO_NETWORK := connection broken|connection error|max retries exceeded|failed to establish|timed out|name resolution

$(VENV)/.run: pyproject.toml requirements.lock
	$(call install,gradium-batch and its libraries,local$(,)cloud,about a minute and 500 MB)
	@touch $@

$(VENV)/readers/.made: Makefile
	@echo "installing lhotse, NeMo and Praat into $(VENV)/readers: a few minutes and 7 GB the first time ..." >&2
	@$(PYTHON) -m venv $(VENV)/readers
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(VENV)/readers/bin/python -m pip install --quiet $(READERS)
	@touch $@

$(VENV)/.dev: pyproject.toml requirements.lock
	$(call install,gradium-batch and what its tests need,local$(,)cloud$(,)dev,about two minutes and 1 GB)
	@touch $@ $(VENV)/.run
