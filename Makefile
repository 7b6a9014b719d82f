# Two commands do everything: `make reproduce` and `make test`. Each sets itself up.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
OUT ?= reproduced
# Further overrides for `make reproduce`, say WITH="steps=5000 hardware.workers=1"
WITH ?=
# Both are judged on the same runs
FIGURE_1 := fig1a_accuracy fig1bc_sigmoid_inputs
# With as many seeds as a verdict needs at least, instead of ten, and looked at half as often
SIX := 'seed=range(6)' measure.per_decade=10
# The rate sweep of `make reproduce`: the claim's 96 runs, for a 50th of its steps
SHORT := steps=1000 measure.per_decade=1

.DEFAULT_GOAL := help
.PHONY: help setup reproduce results figures bench test lint types audit clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.ready  ## make the environment in .venv (once)

$(VENV)/.ready: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found: install Python 3.11, or set PYTHON=" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

reproduce: setup  ## Figure 1 of the paper and a rate sweep from scratch, on MNIST where it can be had
	data=$$($(BIN)/python scripts/data.py --first mnist mnist_sample) && \
	$(BIN)/python scripts/train.py experiment=fig1a_accuracy data=$$data out=$(OUT)/runs $(SIX) $(WITH) && \
	$(BIN)/python scripts/train.py experiment=rate_tolerance data=$$data out=$(OUT)/runs $(SHORT) $(WITH) && \
	$(BIN)/python scripts/report.py $(FIGURE_1) --runs $(OUT)/runs --results $(OUT) --with data=$$data $(SIX) $(WITH) && \
	$(BIN)/python scripts/report.py rate_tolerance --runs $(OUT)/runs --results $(OUT) --with data=$$data $(SHORT) $(WITH)

results: setup  ## train every claim on full MNIST or CIFAR-10 (finished runs are skipped) and rewrite results/
	for claim in $(basename $(notdir $(wildcard configs/experiment/*.yaml))); do \
		$(BIN)/python scripts/train.py experiment=$$claim || exit 1; done
	$(BIN)/python scripts/report.py --runs runs

figures: setup  ## verdicts, figures and ledger again from the committed tables; trains nothing
	$(BIN)/python scripts/report.py

bench: setup  ## what a step costs here, beside plain PyTorch loops and JAX; nothing else should run meanwhile
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock --editable ".[bench]"
	$(BIN)/python scripts/bench.py --data mnist --out results/bench

test: lint types  ## formatting, lint, types, import contracts, tests
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
	rm -rf $(VENV) $(OUT) figures .hypothesis src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
