# recsae: `make` lists what there is.

PYTHON ?= python3
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
LLM ?=
SET ?=
CONFIG ?= jobs/configs/demo.toml

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq --no-input
OVERRIDES := $(if $(LLM),--set llm.model=$(LLM)) $(foreach pair,$(SET),--set $(pair))
# The embedded model is fetched only where no other is asked for.
DEMO_MODEL := $(if $(LLM),,model)

export RAY_USAGE_STATS_ENABLED ?= 0
# Container images often set it; without bytecode every process compiles recsae, and pytest its tests, again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install model demo unit test check rest faults coverage lint bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  LLM=folder-or-hub-id      another language model for the demo"
	@echo "  SET=\"a.b=c d.e=f\"         config overrides for the demo;  CONFIG=file.toml  another run"
	@echo "  PYTHON=python3.12         3.11, 3.12 or 3.13, for the virtual environment"
	@echo "  TORCH_INDEX=url           where a CPU build of torch is, if pip finds none"

install: .venv/installed ## virtual environment with everything; again when pyproject.toml changes

# What pip is at: a line for each package, and the size of what is large.
SHOW := sed -un -e 's/^Collecting \([^ (]*\).*/  \1/p' -e 's/^ *Downloading .*(\([0-9.]* [GM]B\)).*/    \1/p' \
	-e 's/^Installing collected packages.*/  unpacking, which takes a minute or two/p'
.venv/installed: SHELL := bash
.venv/installed: .SHELLFLAGS := -o pipefail -c

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "recsae needs Python 3.11 to 3.13; name one, as in: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv (4 GB, some minutes the first time)"
	@if nvidia-smi >/dev/null 2>&1; then \
		$(subst -qq,,$(PIP)) install -e '.[gpu,model,dev]' | $(SHOW); \
	else \
		echo "1 of 2: torch for the CPU"; \
		$(subst -qq,,$(PIP)) install 'torch==2.13.0+cpu' 2>/dev/null | $(SHOW) \
		|| { echo "pip finds no CPU build of torch; taking it from $(TORCH_INDEX) (TORCH_INDEX=... for another)"; \
		     $(subst -qq,,$(PIP)) install --index-url $(TORCH_INDEX) 'torch==2.13.0+cpu' | $(SHOW); } \
		&& echo "2 of 2: recsae, Ray, vLLM and what they need" \
		&& $(subst -qq,,$(PIP)) install -e '.[cpu,model,dev]' | $(SHOW) \
		&& $(PIP) uninstall -y torchvision torchaudio torchcodec 2>/dev/null; \
	fi
	@touch $@

model: install ## fetch the embedded language model once (93 MB)
	@$(BIN)/python -m recsae.llm.model

demo: install $(DEMO_MODEL) ## the nightly job on the built-in data: dictionary and report
	@$(BIN)/python -m jobs.nightly --config $(CONFIG) $(OVERRIDES)

# RecTools for the test of the adapter, without its pins (numpy < 2, pandas < 3, attrs < 24): its torch module runs without.
.venv/rectools: .venv/installed
	@$(PIP) install --no-deps rectools==0.19.0 pm-implicit==0.7.3 threadpoolctl==3.8.0 typeguard==4.6.0 \
		pytorch-lightning==2.5.2 torchmetrics==1.9.0 lightning-utilities==0.15.3
	@touch $@

# tests/conftest.py says what the marks slow and short select.
PYTEST := $(BIN)/python -m pytest --durations=15 --durations-min=2
UNIT := tests --ignore=tests/integration --ignore=tests/faults -n logical --maxprocesses=8 --dist=loadfile

unit: install ## the quick unit tests (2 minutes on two cores);  FILE=tests/x/test_y.py  one file
	$(PYTEST) $(or $(FILE),$(UNIT) -m "not slow")

test: install model .venv/rectools ## all unit tests; a line through Ray and vLLM, nights, a kill, pages (12 minutes)
	$(PYTEST) $(UNIT)
	$(PYTEST) tests/integration -m short

check: lint test rest ## lint and all tests (an hour at most); of the faults those marked short

rest: install model .venv/rectools ## what check has beyond lint and test
	$(PYTEST) tests/integration -m "not short"
	$(PYTEST) tests/faults -m short

faults: install model ## kill -9 of everything at every stage, full disks, spoilt files: all of tests/faults (an hour)
	$(PYTEST) tests/faults -v

coverage: install ## unit tests, and which lines they reach
	$(PYTEST) $(UNIT) --cov=recsae --cov-report=term:skip-covered

lint: install ## ruff, spelling, import contracts, dependencies, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell .
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry .
	$(BIN)/mypy

bench: install ## measurements: the scripts in bench/
	@ls bench/*.py >/dev/null 2>&1 || echo "there are no scripts in bench/ yet"
	@for script in $(wildcard bench/*.py); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean: ## remove the virtual environment and caches; runs stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
