# Each target installs what it needs into .venv. PYTHON is the first of these names on PATH that runs (a pyenv
# shim may exist and fail), is new enough, and can create a virtual environment.
PYTHON ?= $(shell for name in python3.14 python3.13 python3.12 python3.11 python3; do \
	if $$name -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
	>/dev/null 2>&1; then echo $$name; break; fi; done)
VENV ?= .venv
BIN := $(VENV)/bin
# Extra arguments for the target's command: make test ARGS="-k queued -x"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-all e2e e2e-tools nightly lint vocabulary format types bench docs dashboards dashboard-preview check-generated dist measures clean

help:
	@echo "make demo       live view of the connection pools of real any-llm calls, against a fake provider (1 min; first time: 15 MB, 30 s more)"
	@echo "make test       unit, contract and integration tests (4 min; first time: 75 MB, half a minute more)"
	@echo "make test-all   the same, with the SDKs of all providers and GlueLLM (first time: 330 MB, 2 min more)"
	@echo "make e2e        tests with a real Collector, Prometheus, VictoriaMetrics and Alertmanager (6 min); installs all SDKs (330 MB),"
	@echo "                and builds these programs the first time with Go and npm (10 min, 6.4 GB)"
	@echo "make nightly    studies ('make -C tests/studies' lists them) and the compatibility matrix (6 h);"
	@echo "                builds the programs of 'make e2e' first"
	@echo "make lint       check style (ruff), the directions of imports, ceilings on sizes, and words to avoid"
	@echo "make types      mypy --strict, pyright"
	@echo "make bench      measure the cost of the instrumentation and compare it with its budgets (15 min)"
	@echo "make docs       generate pages of docs/ and files of dashboards/, and build the site into .cache/site"
	@echo "make dist       build the distributions of a release: BASE=... is the address of the repository"
	@echo "make measures   count lines of code and words of prose, by folder, and compare them with their ceilings"
	@echo "Other targets: format, dashboards, dashboard-preview, check-generated, e2e-tools, clean."
	@echo "ARGS=... is passed to the command: make test ARGS=\"-k queued -x\". PYTHON=... selects the interpreter."

define need-python
@if [ -z "$(PYTHON)" ]; then \
  echo "No Python 3.11 or newer found on PATH; name one: make $(MAKECMDGOALS) PYTHON=..." >&2; \
  exit 2; fi
endef

DEMO := '.[demo]'
TEST := '.[demo,http]' --group test
DEV := '.[demo,http]' --group dev
SITE := '.[demo,http]' --group test --group site
RELEASE := . --group release
ALL := '.[demo,http,gluellm]' --group test --group providers

# $(call install,purpose,size of the download and time,what pip installs)
define install
@echo "First-time set-up: installing $(1) into $(VENV). $(2)."
@$(BIN)/python -m pip install --quiet --upgrade pip
@$(BIN)/python -m pip install --quiet --editable $(3)
@touch $@
endef

$(BIN)/python:
	$(need-python)
	@echo "First-time set-up: creating a virtual environment with $(PYTHON) in $(VENV)."
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

$(VENV)/.installed-site: $(VENV)/.installed-test
	$(call install,what builds the site,Downloads about 20 MB; takes about half a minute,$(SITE))

$(VENV)/.installed-release: pyproject.toml | $(BIN)/python
	$(call install,what builds a release,Downloads about 10 MB; takes about 20 seconds,$(RELEASE))

demo: $(VENV)/.installed-demo
	$(BIN)/gluellm-pools demo $(ARGS)

# Two processes per core, since most of a test's time is waiting; ARGS="-n 3" sets another number. A file runs in one
# process, to share its fixtures; files begin in the order of testpaths. With PYTHONDONTWRITEBYTECODE, which many images
# set, each process and each of the programs that tests start would compile everything again.
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test: $(VENV)/.installed-test
	@echo "Running the tests: about 4 minutes on 2 cores. 'make test ARGS=tests/unit' runs one folder."
	@$(PYTEST) -m 'not all_sdks' $(ARGS)

test-all: $(VENV)/.installed-all
	@echo "Running all tests, including those of every provider's SDK and of GlueLLM."
	@$(PYTEST) $(ARGS)

# Without .venv: it needs only the standard library.
e2e-tools:
	$(need-python)
	@PYTHONPATH=tests PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m e2e.tools

# With REQUIRE_E2E=1 a missing program is an error, not a skipped test. Two processes only: the programs that they start
# need the rest of the machine.
e2e: $(VENV)/.installed-all
	@$(MAKE) --no-print-directory e2e-tools
	@REQUIRE_E2E=1 $(PYTEST) -n 2 tests/e2e $(ARGS)

nightly:
	@$(MAKE) --no-print-directory -C tests/studies nightly

lint: $(VENV)/.installed-dev vocabulary
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python tests/studies/measures.py --check

# .vocabulary lists words to avoid, one regular expression a line; CONTRIBUTING.md has the words to use.
vocabulary:
	@if git grep --line-number --word-regexp --ignore-case --extended-regexp -f .vocabulary -- \
	  ':!.vocabulary' ':!*.json'; then echo "Words to avoid: see CONTRIBUTING.md." >&2; exit 1; fi

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.installed-dev
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

bench:
	@$(MAKE) --no-print-directory -C tests/studies bench

# Any warning fails the build: a broken link, a missing picture, a page in no table of contents.
docs: $(VENV)/.installed-site dashboards
	$(BIN)/python docs/generate.py
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -c docs/site -d .cache/site-doctrees . .cache/site
	@echo "The site is in .cache/site: open index.html."

dashboards: $(VENV)/.installed-test
	PYTHONPATH=dashboards $(BIN)/python -m gluellm_dashboards.build $(ARGS)

# npm packages stay out of the source tree. --legacy-peer-deps: Grafana 13.2 uses React 19, which one of its
# dependencies does not list.
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

# With BASE, links of the README and the addresses in the metadata are absolute.
dist: $(VENV)/.installed-release
	@if [ -z "$(BASE)" ]; then echo "Name the repository: make dist BASE=https://..." >&2; exit 2; fi
	rm -rf dist
	README_BASE=$(BASE) $(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*

measures: $(BIN)/python
	@$(BIN)/python tests/studies/measures.py $(ARGS)

clean:
	rm -rf $(VENV) .venvs .cache .mypy_cache .pytest_cache .ruff_cache
