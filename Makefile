# Two commands: `make demo` runs the product with history and a live agent, `make test` runs all tests.
# They need Python 3.11 or newer and make; everything else goes into .venv.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help demo run test lint bench lock clean

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

# Ctrl-C is how these end: not an error of make.
demo: $(STAMP) ## run with three features, five weeks of history, people and a live agent
	@$(BIN)/python -m runtime run --demo || { status=$$?; [ $$status -eq 130 ] || exit $$status; }

run: $(STAMP) ## run on the embedded database; HOST, PORT, CLEARANCE_VAR
	@$(BIN)/python -m runtime run || { status=$$?; [ $$status -eq 130 ] || exit $$status; }

test: $(STAMP) lint ## lint, then all tests: real PostgreSQL, HTTP, Celery and Chromium
	@$(BIN)/python tests/ensure_chromium.py
	@$(BIN)/python -m pytest -q -n 2 --dist load tests

lint: $(STAMP) ## ruff, mypy --strict, the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check -q .
	@DATABASE_URL=postgresql://nobody@localhost/none CLEARANCE_VAR=.venv/lint $(BIN)/mypy
	@PYTHONPATH=clients/python/src $(BIN)/lint-imports --no-cache

bench: $(STAMP) ## measure; prints the report
	@$(BIN)/python -m bench

lock: $(STAMP) ## make requirements*.txt anew from requirements*.in
	@$(BIN)/python -m pip install -q uv
	@$(BIN)/uv pip compile -q requirements.in -o requirements.txt $(LOCK)
	@$(BIN)/uv pip compile -q requirements-dev.in -o requirements-dev.txt $(LOCK)

LOCK := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --upgrade

clean: ## remove .venv and caches; the state folder var stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(STAMP): requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; this is $$($(PYTHON) --version). Set PYTHON=python3.12, say." >&2; exit 1; }
	@echo "Installing into .venv ..."
	@$(PYTHON) -m venv .venv || { echo "Python's venv module is needed (on Debian: apt install python3-venv)." >&2; exit 1; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt -r requirements-dev.txt
	@touch $(STAMP)
