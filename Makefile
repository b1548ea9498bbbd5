# Everything a clone needs: `make demo`, `make test`, `make check`. Each target does its own set-up in .venv.
PYTHON ?= python3
SEED ?= $(shell date +%s)
BIN := .venv/bin
PIP_INSTALL := -m pip install -qq --no-input --disable-pip-version-check
UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links --no-annotate $(LOCK_ARGS)
NO_PACKAGES := bridle: the packages could not be installed (pip says why above). \
	Installing needs a package registry: PyPI, or a mirror named in PIP_INDEX_URL.
# run, <what is done>, <command>: one line when it works, the whole output when it does not
run = @printf '%-12s %s\n' '$(1)' '$(2)'; out=$$($(2) </dev/null 2>&1) || { printf '%s\n' "$$out"; exit 1; }

.PHONY: help demo test check bench bench-ifc world storm storm-sabotage crash lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 22

demo: .venv/core.stamp ## watch governed runs, and the two incidents being stopped
	@$(BIN)/bridle demo

test: .venv/dev.stamp ## all tests, in parallel and in random order (SEED=<n> repeats an order)
	@echo "test         pytest -n auto, in random order (make test SEED=$(SEED) repeats it)"
	@$(BIN)/python -m pytest -q -n auto --randomly-seed=$(SEED) $(TEST_ARGS) </dev/null

check: .venv/dev.stamp ## style, types, floors, tidiness
	$(call run,lint,$(BIN)/ruff check)
	$(call run,format,$(BIN)/ruff format --check)
	$(call run,types,$(BIN)/mypy)
	$(call run,floors,$(BIN)/lint-imports --no-logo)
	$(call run,tidy,$(BIN)/python -m pytest -q -p no:randomly tests/test_tidy.py)
	@echo "check        all green"

bench: bench/.venv/peers.stamp ## the figures of the README, measured against peers on this machine
	@PYTHONPATH=src:. bench/.venv/bin/python bench/run.py $(BENCH_ARGS)

world: bench/.venv/peers.stamp ## what bridle and its peers do when things go wrong, into docs/peers_in_the_same_world.md
	@PYTHONPATH=src:. bench/.venv/bin/python -m bench.world.report \
		--markdown docs/peers_in_the_same_world.md --json docs/peers_in_the_same_world.json $(WORLD_ARGS)

# Six minutes on two cores, five of them in the suite workspace; IFC_ARGS="--suite slack" plays one, in half a minute,
# and writes the page of it alone: add `--markdown /tmp/slack.md`.
bench-ifc: bench/ifc/.venv/ifc.stamp ## what the rule on the flow of information stops: AgentDojo's attacks, into docs/injection.md
	@PYTHONPATH=src:. bench/ifc/.venv/bin/python -m bench.ifc --markdown docs/injection.md $(IFC_ARGS)

storm: .venv/dev.stamp ## 100,000 runs on a bad day against every promise (STORM_ARGS="--tier P" kills processes, "--tier D" breaks disks)
	@$(BIN)/python -m bench.storm $(STORM_ARGS)

storm-sabotage: .venv/dev.stamp ## break our own code on purpose, one promise at a time: the storm has to find each
	@$(BIN)/python -m bench.storm --sabotage all 2>/dev/null

crash: .venv/dev.stamp ## kill -9 at every commit, and again at every commit of the recovery: every pair (half an hour)
	@CRASH_PAIRS=all $(BIN)/python -m pytest -q -n auto tests/crash/test_pairs.py </dev/null

lock: .venv/lock.stamp ## resolve the dependencies anew into requirements/*.txt (LOCK_ARGS=--upgrade for newer ones)
	@echo "lock         requirements/core.txt requirements/audit.txt requirements/dev.txt requirements/lock.txt"
	@$(UV_COMPILE) pyproject.toml --group build -o requirements/core.txt >/dev/null
	@$(UV_COMPILE) pyproject.toml --extra audit -c requirements/core.txt -o requirements/audit.txt >/dev/null
	@$(UV_COMPILE) pyproject.toml --extra audit --group build --group dev -c requirements/core.txt -c requirements/audit.txt \
		-o requirements/dev.txt >/dev/null
	@$(UV_COMPILE) --group lock -o requirements/lock.txt >/dev/null
	@if [ -f bench/requirements.in ]; then echo "lock         bench/requirements.txt"; \
		$(UV_COMPILE) bench/requirements.in -c requirements/core.txt -o bench/requirements.txt >/dev/null; fi
	@if [ -f bench/ifc/requirements.in ]; then echo "lock         bench/ifc/requirements.txt"; \
		$(UV_COMPILE) bench/ifc/requirements.in -c requirements/core.txt -o bench/ifc/requirements.txt >/dev/null; fi

clean: ## remove what the other targets made
	@rm -rf .venv bench/.venv bench/ifc/.venv build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up ---------------------------------------------------------------------------------------------------------

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "bridle: Python 3.11 or newer is needed as '$(PYTHON)': apt install python3 python3-venv, or make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "bridle: Python's venv module is missing: apt install python3-venv" >&2; exit 1; }
	@echo "set-up       .venv"
	@$(PYTHON) -m venv .venv

.venv/core.stamp: requirements/core.txt pyproject.toml | .venv/bin/python
	@echo "set-up       bridle, and requirements/core.txt (hash-checked)"
	@$(BIN)/python $(PIP_INSTALL) --require-hashes -r requirements/core.txt </dev/null \
		|| { echo "$(NO_PACKAGES)" >&2; exit 1; }
	@$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation -e . </dev/null
	@touch $@

.venv/dev.stamp: requirements/dev.txt .venv/core.stamp
	@echo "set-up       requirements/dev.txt (hash-checked)"
	@$(BIN)/python $(PIP_INSTALL) --require-hashes -r requirements/dev.txt </dev/null \
		|| { echo "$(NO_PACKAGES)" >&2; exit 1; }
	@touch $@

.venv/lock.stamp: requirements/lock.txt | .venv/bin/python
	@echo "set-up       requirements/lock.txt (hash-checked)"
	@$(BIN)/python $(PIP_INSTALL) --require-hashes -r requirements/lock.txt </dev/null \
		|| { echo "$(NO_PACKAGES)" >&2; exit 1; }
	@touch $@

# The peers live in an environment of their own, so that their pins never enter ours; bridle runs beside them from src.
bench/.venv/peers.stamp: bench/requirements.txt | .venv/bin/python
	@echo "set-up       bench/.venv, and bench/requirements.txt (hash-checked)"
	@$(BIN)/python -m venv bench/.venv
	@bench/.venv/bin/python $(PIP_INSTALL) --require-hashes -r bench/requirements.txt </dev/null \
		|| { echo "$(NO_PACKAGES)" >&2; exit 1; }
	@touch $@

# So does AgentDojo, with bridle's own needs at bridle's own pins.
bench/ifc/.venv/ifc.stamp: bench/ifc/requirements.txt | .venv/bin/python
	@echo "set-up       bench/ifc/.venv, and bench/ifc/requirements.txt (hash-checked)"
	@$(BIN)/python -m venv bench/ifc/.venv
	@bench/ifc/.venv/bin/python $(PIP_INSTALL) --require-hashes -r bench/ifc/requirements.txt </dev/null \
		|| { echo "$(NO_PACKAGES)" >&2; exit 1; }
	@touch $@
