# `make` lists the targets. They need Python 3.10 or later and make, and create the environment .venv if it is missing.
PYTHON ?= python3
RESULTS ?= results
BIN := .venv/bin
ROWS := regression table2 mnist fashion_mnist cifar10 cifar100 imdb imagenette table1_v1
QUESTIONS := cadence mixing_rate reconstruction_noise mnist_reconstruction_rate cifar10_rate cifar10_augmented \
  cifar100_reweighted mixers_regression mixers_mnist imbalance_and_rate
READY := $(if $(filter .venv/bin,$(BIN)),.venv/ready)  # make test BIN=... uses your environment, and leaves it alone

.PHONY: help run test test-long test-all test-extras bench bench-gpu reproduce tables figures docs clean
.NOTPARALLEL:

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

run: $(READY)  ## quickstart: two small data sets, five seeds, a table, a figure
	@$(BIN)/python -m l2m.run -m +experiment=quickstart
	@$(BIN)/python -m l2m summary outputs/quickstart

test: $(READY)  ## style, types and tests; offline, on all CPU cores
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n auto --dist worksteal -m 'not extras and not long'

test-long: $(READY)  ## every combination, more restarts; then the oldest and newest torch (12 GB)
	$(BIN)/python -m pytest -n auto --dist worksteal -m long
	$(BIN)/python scripts/try_versions.py

test-all: test test-extras  ## `make test`, then `make test-extras`

test-extras: $(addsuffix -all,$(READY))  ## with all extras, the tests that need one, or a browser
	$(BIN)/python -m pytest -n auto --dist worksteal -m 'extras and not long'

bench: $(READY)  ## measure speed and memory, to results/bench (an hour)
	$(BIN)/python scripts/bench.py

bench-gpu: $(READY)  ## measure the minutes of the whole suite on one GPU
	$(BIN)/python scripts/bench.py --gpu

reproduce: $(READY)  ## train what results/ lacks (days), then tables and figures
	@failed=0; for each in $(ROWS) $(QUESTIONS) table1_v3; do \
	  echo "+experiment=$$each"; $(BIN)/python -m l2m.run -m +experiment=$$each results_dir=results; status=$$?; \
	  [ $$status -lt 128 ] || exit $$status; [ $$status = 0 ] || failed=1; done; \
	$(BIN)/python -m l2m pack results && $(MAKE) tables figures RESULTS=results && exit $$failed

tables: $(READY)  ## tables and claims from results/; RESULTS=outputs for your runs
	@$(BIN)/python -m l2m tables $(RESULTS) $(if $(filter results results/,$(RESULTS)),--ledger REPRODUCTION.md --into README.md docs/index.md docs/when.md)

figures: $(READY)  ## figures and index.html from results/; RESULTS=outputs likewise
	@$(BIN)/python -m l2m figures $(RESULTS)

docs: $(READY)  ## build the documentation to read offline: site/index.html
	@$(BIN)/python -c "import mkdocstrings, material" 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "built: site/index.html"

clean:  ## remove .venv, the site and caches
	rm -rf .venv site .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/ready: pyproject.toml constraints.txt
	@echo "setting up .venv (once; a few minutes, and gigabytes with CUDA)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || (echo "error: $(PYTHON) is older than 3.10: use make PYTHON=python3.12, for example" && exit 1)
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
	@echo "set up: .venv"

.venv/ready-all: .venv/ready
	@echo "adding every extra to .venv (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,all]'
	@touch $@
