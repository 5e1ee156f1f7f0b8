# Each target does all of its own set-up, into .venv. Python is the first of these names on PATH that
# runs (a pyenv shim can be there and fail), is new enough, and can make a virtual environment.
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3.14 python3; do \
	if $$name -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
	>/dev/null 2>&1; then echo $$name; break; fi; done)
VENV ?= .venv
BIN := $(VENV)/bin
# Further arguments for the target's command: make test ARGS="-k queued -x"
ARGS ?=

.PHONY: dashboard-preview help demo test test-all e2e-tools lint format types bench peer-suites truth model soak churn fuzz matrix canary compatibility trust score e2e-faults arrival-table contract-table census frameworks incident alert-matrix docs boards-scale dashboards check-generated architecture clean

help:
	@echo "make demo             the pools of real any-llm calls, live, against a fake provider (about 1 min, the first time also installs)"
	@echo "make test             the tests, in about 15 minutes (the first time also installs, about 75 MB)"
	@echo "make test-all         the same, and the tests of every provider's SDK and of GlueLLM (installs 330 MB more)"
	@echo "make e2e-tools        the real programs that tests/e2e run, built with Go (and packages of npm) into a cache outside the repository; says what first"
	@echo "make lint             ruff, and the directions of imports"
	@echo "make types            mypy --strict, pyright"
	@echo "make architecture     the directions of imports, and that the contract has one home"
	@echo "make bench            what it costs, beside the budgets"
	@echo "make peer-suites      the own tests of httpx, httpcore, openai, anthropic, aiohttp and urllib3, with the instrumentation off and on (about 40 min)"
	@echo "make truth            what is told of pools, beside the operating system's sockets and a server's schedule (about 3 min)"
	@echo "make model            random lives of pools against a model of them (about 5 min)"
	@echo "make soak             half an hour of mixed load with every kind of fault: memory, descriptors, series stay flat"
	@echo "make churn            100 000 pools made and dropped: memory and collection stay flat"
	@echo "make fuzz             bad input for gluellm-pools watch and doctor, for a minute"
	@echo "make matrix           the compatibility matrix: every environment on every Python there is (about 15 min)"
	@echo "make canary           the same with the newest pre-releases of what is observed; tells, and never fails"
	@echo "make compatibility    write the tables of docs/compatibility.md from what ran"
	@echo "make trust            the long form of all tests behind docs/guarantees.md, and docs/trust.md of it (about 75 min)"
	@echo "make score            how often diagnose names the cause: 200 runs of real load (about 8 minutes)"
	@echo "make e2e-faults       what a Collector that is down, hangs or refuses does to a program (needs e2e-tools; about 2 minutes)"
	@echo "make arrival-table    every metric on every way into a store: counted = stored (needs e2e-tools; about 1 min)"
	@echo "make boards-scale     every query of every board over 1 000 programs of 5 providers, timed (needs e2e-tools; half an hour the first time)"
	@echo "make contract-table   the contract suite: scenario by library, and why one does not apply (about 5 min)"
	@echo "make census           one call of each provider against a fake one, into docs/providers.md (about 1 min)"
	@echo "make frameworks       real frameworks and other instrumentations against a fake provider, with and without the instrumentation (about 2 min, the first time also installs two environments, up to 280 MB)"
	@echo "make incident         replays incidents by real load into a real Prometheus with the alerts, to look at (needs e2e-tools)"
	@echo "make alert-matrix     which alert fires for which incident, after how many seconds (needs e2e-tools; about 8 min)"
	@echo "make docs             write the generated pages of docs/"
	@echo "make dashboards       write the boards, rules and manifests of dashboards/ from their source"
	@echo "make dashboard-preview  pictures of the boards from live data, with Grafana's npm packages (needs Node.js, Chromium)"
	@echo "make check-generated  fail when they are out of date"
	@echo "ARGS=... goes to the command; PYTHON=... chooses the interpreter."

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

# In parallel: most of a test is waiting for a clock. A file stays in one process, for its fixtures. A test
# that compares times can fail when the machine stands still: it gets a second try, and the summary names it.
PYTEST = $(BIN)/python -m pytest -n auto --dist loadfile --reruns 1

test: $(VENV)/.installed-test
	@echo "Running the tests: about 15 minutes on 2 cores. 'make test ARGS=tests/unit' runs some of them."
	@$(PYTEST) -m 'not all_sdks' $(ARGS)

test-all: $(VENV)/.installed-all
	@echo "Running all tests, those with every provider's SDK and GlueLLM too: about 20 minutes on 2 cores."
	@$(PYTEST) $(ARGS)

# Without .venv: it needs nothing that isn't in Python.
e2e-tools:
	$(need-python)
	@PYTHONPATH=tests PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m e2e.tools $(ARGS)

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

architecture: $(VENV)/.installed-dev
	$(BIN)/python -m pytest tests/architecture $(ARGS)

bench: $(VENV)/.installed-test
	PYTHONPATH=tests $(BIN)/python -m benchmarks $(ARGS)

peer-suites: $(VENV)/.installed-test
	PYTHONPATH=tests $(BIN)/python -m peers $(ARGS)

truth: $(VENV)/.installed-test
	PYTHONPATH=tests $(BIN)/python -m truth $(ARGS)

model: $(VENV)/.installed-test
	PYTHONPATH=tests $(BIN)/python -m model $(ARGS)

soak: $(VENV)/.installed-test
	PYTHONPATH=tests $(BIN)/python -m soak $(ARGS)

churn: $(VENV)/.installed-test
	PYTHONPATH=tests $(BIN)/python -m churn $(ARGS)

fuzz: $(VENV)/.installed-test
	PYTHONPATH=tests $(BIN)/python -m fuzz $(ARGS)

# nox is a tool, whose own requirements are not to bind those of the tests.
NOX := .venvs/nox

compatibility: $(NOX)/.installed
	PYTHONPATH=tests/compat $(NOX)/bin/python tests/compat/page.py

trust: $(VENV)/.installed-all $(NOX)/.installed
	PYTHONPATH=tests $(BIN)/python -m trust $(ARGS)

$(NOX)/.installed: Makefile
	$(need-python)
	$(PYTHON) -m venv --clear $(NOX)
	$(NOX)/bin/python -m pip install --quiet 'nox>=2025.5'
	@touch $@

matrix: $(NOX)/.installed
	$(NOX)/bin/nox --noxfile tests/compat/noxfile.py $(ARGS)

canary: $(NOX)/.installed
	$(NOX)/bin/nox --noxfile tests/compat/noxfile.py --session canary $(ARGS)

score: $(VENV)/.installed-test
	PYTHONPATH=tests $(BIN)/python -m scoring $(ARGS)

e2e-faults: $(VENV)/.installed-test
	PYTHONPATH=tests $(BIN)/python -m e2e.faults $(ARGS)

arrival-table: $(VENV)/.installed-all
	PYTHONPATH=tests $(BIN)/python -m e2e.arrival $(ARGS)

boards-scale: $(VENV)/.installed-test
	PYTHONPATH=tests:dashboards $(BIN)/python -m scale $(ARGS)

contract-table: $(VENV)/.installed-test
	PYTHONPATH=tests $(BIN)/python -m contract.table $(ARGS)

census: $(VENV)/.installed-all
	PYTHONPATH=tests $(BIN)/python -m census $(ARGS)

# Environments of their own, two since some frameworks need an older openai. Where the newest cannot be
# installed together, each requirement is installed by itself.
FRAMEWORKS := .venvs/frameworks .venvs/frameworks-openai-2

.venvs/frameworks/.installed: tests/frameworks/requirements.txt
.venvs/frameworks-openai-2/.installed: tests/frameworks/requirements-openai-2.txt

$(FRAMEWORKS:%=%/.installed): pyproject.toml
	$(need-python)
	@echo "Set-up, only the first time: installing frameworks into $(@D). Downloads up to 140 MB; takes 1 to 3 minutes."
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --editable '.[cli]'
	@$(@D)/bin/python -m pip install --quiet --requirement $(filter %.txt,$^) \
	|| grep -v '^#' $(filter %.txt,$^) | xargs -n 1 $(@D)/bin/python -m pip install --quiet || true
	@touch $@

frameworks: $(FRAMEWORKS:%=%/.installed)
	PYTHONPATH=tests .venvs/frameworks/bin/python -m frameworks $(ARGS)

incident: $(VENV)/.installed-test
	PYTHONPATH=tests $(BIN)/python -m incidents $(ARGS)

alert-matrix: $(VENV)/.installed-test
	PYTHONPATH=tests $(BIN)/python -m incidents matrix $(ARGS)

docs: $(VENV)/.installed-test
	$(BIN)/python docs/generate.py $(ARGS)

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

clean:
	rm -rf $(VENV) .venvs .cache .mypy_cache .pytest_cache .ruff_cache
