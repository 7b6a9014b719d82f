# Two commands do everything: `make reproduce` and `make test`. Each sets itself up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RIGHT := import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
OUT ?= reproduced
# What commands import; compiled once here, they start in seconds also where PYTHONDONTWRITEBYTECODE is set
IMPORTED := bnlab.launcher, bnlab.report, hydra, torchvision.datasets, torch._inductor.compile_fx
# Further overrides for `make reproduce`, say WITH="steps=5000 hardware.workers=1"
WITH ?=

.DEFAULT_GOAL := help
.PHONY: help setup reproduce results studies figures notebooks bench test tests lint types audit clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.ready  ## make the environment in .venv (once)

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(BIN)/python -c "$(RIGHT)" 2>/dev/null && $(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  $(PYTHON) -c "$(RIGHT)" 2>/dev/null || \
	    { echo "error: $(PYTHON) is no Python 3.11 to 3.14 with venv: install one, and say PYTHON=python3.13" >&2; exit 1; }; \
	  $(PYTHON) -m venv --clear $(VENV); }
	$(BIN)/python scripts/install.py
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -c "import $(IMPORTED)"
	touch $@

reproduce: setup  ## Figure 1 of the paper and a rate sweep from scratch, on MNIST where it can be had
	$(BIN)/python scripts/reproduce.py --out "$(OUT)" --with $(WITH)

results: setup  ## ask every claim: train what the rule still needs on full MNIST or CIFAR-10, and rewrite results/
	$(BIN)/python scripts/judge.py $(basename $(notdir $(wildcard configs/experiment/*.yaml)))

studies: setup  ## ask the claims of the physics (identities, starts, curvature, toy problems) anew, into OUT
	$(BIN)/python scripts/judge.py --chapter "The physics" --anew "$(OUT)"

figures: setup  ## verdicts, figures and ledger again from the committed tables; trains nothing
	$(BIN)/python scripts/report.py

notebooks: setup  ## run every notebook from a clean kernel, in place
	$(BIN)/jupyter-execute --inplace --timeout=600 notebooks/*.ipynb

bench: setup  ## what a step costs here, beside plain PyTorch loops and JAX; nothing else should run meanwhile
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock --editable ".[bench]"
	$(BIN)/python scripts/bench.py --data mnist --out results/bench

test: setup  ## formatting, lint, types, import contracts, tests
	@$(MAKE) --no-print-directory --jobs=2 lint types tests

tests: setup
	$(BIN)/python -m pytest

audit: setup  ## known vulnerabilities of the pinned packages; asks PyPI
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip-audit~=2.10"
	$(BIN)/pip-audit --requirement requirements.lock --no-deps --disable-pip

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: setup
	$(BIN)/mypy

clean:  ## remove the environment and everything that can be made again; runs/ stays
	rm -rf $(VENV) "$(OUT)" figures .hypothesis src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
