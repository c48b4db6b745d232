# The commands of the project. `make` alone lists them.

PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,$(shell \
	command -v $(p) >/dev/null && $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
GENERATED := generated/marketplace generated/buf

.DEFAULT_GOAL := help
.PHONY: help install serve demo test test-money check proto monitoring migration lock clean

help:  ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1mmake %-12s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or newer is needed; set PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Only what serving needs, so that the first `make serve` is short.
$(VENV)/serve.installed: requirements/serve.lock pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes -r requirements/serve.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/develop.installed: requirements/develop.lock requirements/protoc.lock $(VENV)/serve.installed
	$(PIP) install --require-hashes -r requirements/develop.lock
	$(PIP) install --require-hashes --no-deps --upgrade --target $(VENV)/protoc -r requirements/protoc.lock
	@tests/monitoring/unpack-prometheus $(VENV)/prometheus
	@touch $@

install: $(VENV)/develop.installed  ## Make .venv and install everything, for developing too

serve: $(VENV)/serve.installed  ## Migrate the embedded database and serve on 127.0.0.1:50051 (ARGS="--help" for the settings)
	@$(BIN)/tablestakes serve $(ARGS)

demo: $(VENV)/develop.installed  ## Fill the server that runs on 127.0.0.1:50051 with believable data (ARGS="--users 1000")
	@$(BIN)/tablestakes demo $(ARGS)

test: $(VENV)/develop.installed  ## Run every test, on SQLite and on a PostgreSQL that the suite starts (ARGS="-k user")
	@$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

test-money: $(VENV)/develop.installed  ## A minute of 32 callers over 10 wallets and 10 products, with the counts (SECONDS=60)
	@MONEY_SECONDS=$(or $(SECONDS),60) $(BIN)/python -m pytest tests/marketplace/test_money.py -k postgresql -rP

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
		--group build pyproject.toml -o requirements/serve.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 --upgrade \
		--group develop -c requirements/serve.lock pyproject.toml -o requirements/develop.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 --no-deps \
		requirements/protoc.in -o requirements/protoc.lock

clean:  ## Remove the virtual environment and the files that tools left behind
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
