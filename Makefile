# Each target does all of its own set-up, into .venv. Python is the first of these names on PATH that
# runs (a pyenv shim can be there and fail), is new enough, and can make a virtual environment.
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3.14 python3; do \
	if $$name -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
	>/dev/null 2>&1; then echo $$name; break; fi; done)
VENV ?= .venv
BIN := $(VENV)/bin
# Further arguments for the target's command: make test ARGS="-k queued -x"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-all e2e e2e-tools nightly lint format types bench docs dashboards dashboard-preview check-generated measures clean

help:
	@echo "make demo       the pools of real any-llm calls, live, against a fake provider (about 1 min, the first time also installs)"
	@echo "make test       unit, contract and integration tests (about 5 min; the first time installs about 75 MB, 2 min more)"
	@echo "make test-all   the same, and the tests of every provider's SDK and of GlueLLM (installs 330 MB more)"
	@echo "make e2e        the tests with a real Collector, Prometheus, VictoriaMetrics, Alertmanager (builds these with Go first; says how much)"
	@echo "make nightly    the studies and the compatibility matrix (about 3 hours); 'make -C tests/studies' lists them"
	@echo "make lint       ruff, and the directions of imports"
	@echo "make types      mypy --strict, pyright"
	@echo "make bench      what the instrumentation costs, beside its budgets (about 15 min)"
	@echo "make docs       write the generated pages of docs/, and the boards, rules and manifests of dashboards/"
	@echo "make measures   lines of code and words of prose, by folder"
	@echo "Less often: format, dashboards, dashboard-preview, check-generated, e2e-tools, clean."
	@echo "ARGS=... goes to the command: make test ARGS=\"-k queued -x\". PYTHON=... chooses the interpreter."

define need-python
@if [ -z "$(PYTHON)" ]; then \
  echo "No Python 3.11 or newer found on PATH; name one: make $(MAKECMDGOALS) PYTHON=..." >&2; \
  exit 2; fi
endef

DEMO := '.[demo]'
TEST := '.[demo,http]' --group test
DEV := '.[demo,http]' --group dev
ALL := '.[demo,http,gluellm]' --group test --group providers

# $(call install,what for,how much it downloads and how long it takes,what pip is to install)
define install
@echo "Set-up, only the first time: installing $(1) into $(VENV). $(2)."
@$(BIN)/python -m pip install --quiet --upgrade pip
@$(BIN)/python -m pip install --quiet --editable $(3)
@touch $@
endef

$(BIN)/python:
	$(need-python)
	@echo "Set-up, only the first time: creating a virtual environment with $(PYTHON) in $(VENV)."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-demo: pyproject.toml | $(BIN)/python
	$(call install,the demo,Downloads about 15 MB; takes about half a minute,$(DEMO))

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	$(call install,what the tests need,Downloads about 75 MB; takes about a minute,$(TEST))
	@touch $(VENV)/.installed-demo

$(VENV)/.installed-dev: $(VENV)/.installed-test
	$(call install,linters and type checkers,Downloads about 35 MB; takes about half a minute,$(DEV))

$(VENV)/.installed-all: $(VENV)/.installed-test
	$(call install,the SDKs of all providers and GlueLLM,Downloads about 330 MB; takes about 2 minutes,$(ALL))

demo: $(VENV)/.installed-demo
	$(BIN)/gluellm-pools demo $(ARGS)

# In parallel: most of a test is waiting for a clock. A file stays in one process, for its fixtures.
PYTEST = $(BIN)/python -m pytest -n auto --dist loadfile

test: $(VENV)/.installed-test
	@echo "Running the tests: about 5 minutes on 2 cores. 'make test ARGS=tests/unit' runs some of them."
	@$(PYTEST) -m 'not all_sdks' $(ARGS)

test-all: $(VENV)/.installed-all
	@echo "Running all tests, those with every provider's SDK and GlueLLM too."
	@$(PYTEST) $(ARGS)

# Without .venv: it needs nothing that isn't in Python.
e2e-tools:
	$(need-python)
	@PYTHONPATH=tests PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m e2e.tools $(ARGS)

# A program that is missing fails its tests here.
e2e: $(VENV)/.installed-all
	@$(MAKE) --no-print-directory e2e-tools ARGS=
	@REQUIRE_E2E=1 $(PYTEST) tests/e2e $(ARGS)

nightly:
	@$(MAKE) --no-print-directory -C tests/studies nightly

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.installed-dev
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

bench:
	@$(MAKE) --no-print-directory -C tests/studies bench

docs: $(VENV)/.installed-test dashboards
	$(BIN)/python docs/generate.py

dashboards: $(VENV)/.installed-test
	PYTHONPATH=dashboards $(BIN)/python -m gluellm_dashboards.build $(ARGS)

# npm's packages stay out of the source tree; 13.2 of Grafana's run on React 19, which one of theirs has
# not heard of.
PREVIEW := .cache/dashboard-preview

$(PREVIEW)/.installed: dashboards/preview/package.json
	@command -v npm >/dev/null || { echo "make dashboard-preview needs Node.js 20 or newer, with npm." >&2; exit 2; }
	mkdir -p $(PREVIEW)
	cp $< $(PREVIEW)/
	cd $(PREVIEW) && npm install --no-package-lock --no-audit --no-fund --legacy-peer-deps --loglevel=error
	@touch $@

dashboard-preview: $(VENV)/.installed-test $(PREVIEW)/.installed
	PYTHONPATH=dashboards:tests $(BIN)/python -m preview $(ARGS)

check-generated: $(VENV)/.installed-test
	$(BIN)/python docs/generate.py --check
	PYTHONPATH=dashboards $(BIN)/python -m gluellm_dashboards.build --check

measures: $(BIN)/python
	@$(BIN)/python tests/studies/measures.py

clean:
	rm -rf $(VENV) .venvs .cache .mypy_cache .pytest_cache .ruff_cache
