# `make` lists the targets. They need Python 3.10 or later and make; the environment is made in .venv when missing.
PYTHON ?= python3
RESULTS ?= results
BIN := .venv/bin

.PHONY: help run test bench reproduce summary clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

run: .venv/ready  ## quickstart: two small data sets, five seeds; its table and figure (2 minutes, no download)
	@echo "quickstart: Mean Estimation (classical, learn2mix), five seeds"
	@$(BIN)/python -m l2m.run -m +experiment=quickstart_regression
	@echo "quickstart: digits (classical, learn2mix, focal, smote), five seeds"
	@$(BIN)/python -m l2m.run -m +experiment=quickstart_classification
	@$(BIN)/python scripts/summary.py outputs/quickstart

test: .venv/ready  ## checks of style and types, then the tests; offline, on the CPU
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

bench: .venv/ready  ## time the training loop on MNIST (a few minutes on a quiet machine)
	$(BIN)/python scripts/bench.py

reproduce: .venv/ready  ## train what is missing under results/, then its table and figure (a day on two CPU cores)
	$(BIN)/python -m l2m.run -m +experiment=table2 results_dir=results
	$(BIN)/python -m l2m.run -m +experiment=table1 results_dir=results
	$(BIN)/python scripts/summary.py results --readme README.md

summary: .venv/ready  ## table and figure of the records in results/ (RESULTS=outputs for your own); never trains
	@$(BIN)/python scripts/summary.py $(RESULTS)

clean:  ## remove the environment and caches; records and data stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/ready: pyproject.toml constraints.txt
	@echo "setting up .venv (once; a few minutes and, with CUDA, some gigabytes)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || (echo "error: $(PYTHON) is older than 3.10: call make PYTHON=python3.12, say" && exit 1)
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
	@echo "set up: .venv"
