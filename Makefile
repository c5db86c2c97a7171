# ARN from the shell: `make help` lists everything. The first target that needs the environment builds it.

# Handed on to the command as it is: make train ARGS="network=arn_lite"
ARGS ?=
# Of `make fuzz`.
FUZZ ?= 20
# Of `make sweep`: a file of sweeps/.
SWEEP ?=

VENV := .venv
STAMP := $(VENV)/.stamp

# An environment of one's own: make train PYTHON=python (activated) or PYTHON=/path/to/env/bin/python. Only from the
# command line: a PYTHON that some image happens to export must not redirect the build.
ifeq ($(origin PYTHON),command line)
READY :=
else
PYTHON := $(VENV)/bin/python
READY := $(STAMP)
endif
# Console scripts lie beside the interpreter; a bare name (an activated environment) means that they are on the PATH.
BIN := $(if $(findstring /,$(PYTHON)),$(dir $(PYTHON)),)

SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

.DEFAULT_GOAL := help
.PHONY: help setup train sweep bench report table1 predict test lint perf faults resources fuzz clean

help: ## Show this list
	@awk 'BEGIN {FS = ":[^#]*## "} /^[a-z0-9]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile
	@echo
	@echo '  ARGS="..."     handed on: make train ARGS="network.rcl.steps=5", make test ARGS="-k attention"'
	@echo '  PYTHON=...     use an environment of your own instead of building .venv: make train PYTHON=python'
	@echo '  ARN_DATA_DIR   folder of the data sets (environment variable); without it, drawn scenes'

setup: $(READY) ## Create .venv and install everything at the versions of constraints.txt (about 6 GB, most of it torch)

train: $(READY) ## Train a network; without ARGS on drawn scenes, in minutes, with a table and panels at the end
	$(BIN)arn train $(ARGS)

sweep: $(READY) ## Train every job of a published sweep, go on where it stopped: make sweep SWEEP=ablation ARGS="seed=0,1"
	$(BIN)arn sweep $(SWEEP) $(ARGS)

bench: $(READY) ## Score checkpoints and map folders: make bench ARGS="datasets=[ECSSD] 'checkpoints={ARN: FILE}'"
	$(BIN)arn bench $(ARGS)

report: $(READY) ## Tables, tests, figures and a page of a sweep: make report ARGS="runs=outputs/sweeps/ablation_scenes"
	$(BIN)arn report $(ARGS)

table1: $(READY) ## Measure the paper's Table 1 as far as data and weights are at hand, beside what it prints: hours on a CPU
	$(BIN)arn table1 $(ARGS)

predict: $(READY) ## Draw maps, overlays or cutouts: make predict ARGS="input=PATH output=DIR checkpoint=FILE"
	$(BIN)arn predict $(ARGS)

test: $(READY) ## Run the tests; those on real pictures need ARN_DATA_DIR
# A process a core, one thread each. With ARGS="-n 0" in this process, as a debugger wants it.
	$(PYTHON) -m pytest -n auto --dist worksteal --durations=15 $(ARGS)

lint: $(READY) ## Check style, formatting, types and the direction of imports
	$(BIN)ruff check
	$(BIN)ruff format --check
	$(BIN)mypy
	$(BIN)lint-imports

perf: $(READY) ## Time the hot paths against their references and print a table
	$(PYTHON) -m perf $(ARGS)

faults: $(READY) ## Kill trainings at every moment, twice, and other commands, and compare with undisturbed ones (half an hour)
	$(PYTHON) tests/faults/kills.py $(ARGS)
	$(if $(ARGS),,$(PYTHON) tests/faults/commands.py)

resources: $(READY) ## Measure what predict and train hold, and what they leave when they end or are ended (15 minutes)
	$(PYTHON) tests/faults/resources.py $(ARGS)

fuzz: $(READY) ## Damage files and draw overrides, FUZZ times as many as CI does, others each time (half an hour)
	ARN_FUZZ=$(FUZZ) $(PYTHON) -m pytest -n 0 --timeout 0 --durations=20 tests/fuzz $(ARGS)

clean: ## Remove caches and build products; outputs/, data/ and .venv stay
	rm -rf dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -path ./$(VENV) -prune -o -path ./outputs -prune -o -path ./data -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

# The version is read from __init__.py at install time, so a new one needs a new install, too.
# uv does the installing, not pip: it takes no find-links from a pip.conf, where a CPU build of torch that no torchvision
# goes with may lie. Bytecode is made here, in 20 s: where PYTHONDONTWRITEBYTECODE is set, as in many containers, each
# process would else compile all that it imports, 5 s for a training. `--clear` only where the environment's own Python is
# gone (moved or half-made).
$(STAMP): pyproject.toml constraints.txt src/arn/__init__.py
	@found=; if ! $(VENV)/bin/python -c '$(SUPPORTED)' 2>/dev/null; then \
	  for candidate in python3 python3.13 python3.12 python3.11; do \
	    if $$candidate -c '$(SUPPORTED)' 2>/dev/null; then found=$$candidate; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo 'make: ARN needs Python 3.11, 3.12 or 3.13, and none of python3, python3.13, python3.12, python3.11 is one.' >&2; \
	    echo 'make: install one, or name an environment that has everything: make PYTHON=/path/to/bin/python ...' >&2; \
	    exit 1; \
	  fi; \
	  echo "Creating $(VENV) with $$($$found --version); torch makes it about 6 GB, once."; \
	  $$found -m venv --clear $(VENV) || { echo "make: '$$found -m venv' failed (Debian: install python3-venv)" >&2; exit 1; }; \
	fi
	@$(VENV)/bin/python -m uv --version >/dev/null 2>&1 || $(VENV)/bin/python -m pip install --quiet uv
	$(VENV)/bin/python -m uv pip install --quiet --compile-bytecode --python $(VENV)/bin/python -c constraints.txt -e '.[dev]'
	@$(VENV)/bin/python -m compileall -q src/arn
	@touch $@
