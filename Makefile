# Every target sets up what it needs; the first call makes .venv, later ones find it.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export HF_HUB_OFFLINE := 1

PYTHON ?= python3
BIN := .venv/bin
# A file's tests stay in one process; of many cores eight are enough.
PYTEST := $(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist loadfile

.PHONY: help setup demo test check lint docs clean
help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## / — /'

setup: .venv/ready ## make .venv with everything

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@echo "Installing leadline and its dependencies into .venv (1 to 2 minutes)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]' > .venv/install.log 2>&1 \
		|| { tail -n 20 .venv/install.log; exit 1; }
	@touch $@

demo: .venv/ready ## sound two deep networks and write their reports to out/
	@$(BIN)/python examples/demo.py

test: .venv/ready ## the fast tests
	$(PYTEST) -m "not slow and not engines and not claims"

check: .venv/ready ## also the slow tests, the engines and the claims that take seconds
	$(PYTEST) -m "slow or engines or claims"

lint: .venv/ready ## format, lint, types and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

docs: .venv/ready ## build the pages strictly into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean: ## remove what the targets made
	rm -rf .venv out dist site
