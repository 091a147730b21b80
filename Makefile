# `make help` lists the targets. Everything happens in .venv, which is made, and kept as the requirements say, on the way.

.DEFAULT_GOAL := help
.PHONY: help run freeze kill-workers test check lock docs texts wheel bench faults chaos broadcasts broadcast-chaos outages fuzz histories compose-test clean
# Started by name: a package's script cannot name its Python when this folder has moved since.
PYTHON := .venv/bin/python
ARGS ?=
BENCH ?=
SECONDS ?= 60
SEED ?= 1
UPDATES ?= 1000000
COUNT ?= 100000
UPGRADE ?=
LOCK := .venv/bin/uv pip compile --quiet --python-version 3.11 --no-emit-package pip --annotation-style line --custom-compile-command "make lock"

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile

run: .venv/.installed ## start everything, say where it is, stop it at Ctrl-C
	@exec $(PYTHON) -m devstack.parent_death -- $(PYTHON) -m devstack run

freeze: .venv/.installed ## let the PostgreSQL of `make run` stand still for SECONDS=60, to see what becomes of it
	@$(PYTHON) -m devstack freeze --seconds $(SECONDS)

kill-workers: .venv/.installed ## kill -9 of all workers of `make run` in this folder; they come back
	@$(PYTHON) -m devstack kill-workers

# Five processes for two cores, each with servers of its own: much of the time is waiting, for processes and time-outs.
# Bytecode is written whatever the environment says: the hundreds of processes that are started would each compile all.
test: .venv/.installed ## run the whole suite; ARGS="-k ledger" runs a part, ARGS="-n 0" one test at a time
	PYTHONDONTWRITEBYTECODE= $(PYTHON) -m pytest -n $$((5 * $$(nproc) / 2)) --dist loadfile $(ARGS)

check: .venv/.installed ## lint, format, types, import contracts, known vulnerabilities
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -c "from importlinter.cli import lint_imports_command as lint; lint()"
	$(PYTHON) -m devstack.advisories

# What is pinned stays so unless pyproject.toml no longer allows it; UPGRADE="--upgrade" takes the newest of everything,
# UPGRADE="--upgrade-package celery" of one. uv resolves both files as one, so that dev's are requirements.txt's too.
lock: .venv/.installed ## write requirements.txt and requirements-dev.txt as pyproject.toml says; UPGRADE=--upgrade
	$(PYTHON) -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(LOCK) --extra dev --output-file requirements-dev.txt $(UPGRADE) pyproject.toml
	$(LOCK) --extra embedded --extra backup --constraint requirements-dev.txt --output-file requirements.txt $(UPGRADE) pyproject.toml

docs: .venv/.installed ## build the documentation as a site in dist/docs/, and check its links
	$(PYTHON) -m sphinx -q -W --keep-going -E docs dist/docs

texts: .venv/.installed ## list what the bot says in ballast.pot, and bring the catalogues up to date with it
	$(PYTHON) -m devstack.texts

wheel: .venv/.installed ## build the package into dist/
	$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .

bench: .venv/.installed ## measure; BENCH=ledger, guard, breaker, commands, batch, import, broadcast, sending or history for one of them
	$(PYTHON) -m benchmarks $(BENCH) $(ARGS)

faults: .venv/.installed ## play each failure of the database over the wire, and print what becomes of it
	$(PYTHON) -m tests.conformance

chaos: .venv/.installed ## break everything for SECONDS=60 by SEED=1, and audit what is left
	$(PYTHON) -m tests.chaos --seconds $(SECONDS) --seed $(SEED) $(ARGS)

broadcasts: .venv/.installed ## send broadcasts with whole processes, and kill these meanwhile
	$(PYTHON) -m pytest tests/broadcasts/test_*.py $(ARGS)

outages: .venv/.installed ## an outage of SECONDS=60 under 50 commands a second; ARGS="--kind frozen --times 20"
	$(PYTHON) -m tests.outages --seconds $(SECONDS) --seed $(SEED) $(ARGS)

histories: .venv/.installed ## COUNT=100000 random histories of the ledger, and of withdrawals, against a simple model, by SEED=1
	$(PYTHON) -m tests.histories --count $(COUNT) --seed $(SEED)
	$(PYTHON) -m tests.histories --count $(COUNT) --seed $(SEED) --withdrawals

fuzz: .venv/.installed ## UPDATES=1000000 updates of every bad shape, by SEED=1, through reading, commands and intake
	$(PYTHON) -m tests.fuzz --updates $(UPDATES) --seed $(SEED)

compose-test: .venv/.installed ## the fleet of docker-compose.yml on a Docker engine: killed, cut off, restarted, audited
	docker build --tag ballast $(ARGS) .
	$(PYTHON) -m tests.compose

broadcast-chaos: .venv/.installed ## a broadcast to 20,000 while everything dies; ARGS="--recipients 2000" for fewer, --composed for one of the page's
	$(PYTHON) -m tests.broadcasts.chaos $(ARGS)

clean: ## remove .venv and caches; the data in .ballast stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# One make at a time installs (the lock is on this file); the next finds the stamp. A .venv that works is brought up to date.
.venv/.installed: requirements.txt requirements-dev.txt
	@flock Makefile sh -eu -c '\
	  test .venv/.installed -nt requirements.txt && test .venv/.installed -nt requirements-dev.txt && exit 0; \
	  right="import sys; sys.exit(sys.version_info < (3, 11))"; \
	  if ! $(PYTHON) -c "$$right" 2>/dev/null; then \
	    for found in python3.11 python3 ""; do \
	      if test -n "$$found" && "$$found" -c "$$right" 2>/dev/null; then break; fi; \
	    done; \
	    if test -z "$$found"; then echo "Python 3.11 or newer is needed, and python3 is not one" >&2; exit 1; fi; \
	    "$$found" -m venv --clear .venv \
	      || { echo "$$found cannot make a venv (Debian: install python3-venv)" >&2; exit 1; }; \
	  fi; \
	  echo "Installing what Ballast needs into .venv (about a minute) …"; \
  $(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt; \
	  touch .venv/.installed'
