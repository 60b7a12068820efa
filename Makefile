# Each target sets up what it needs; `make` alone lists them.
PYTHON ?= python3
BIN := .venv/bin
# The tests start hundreds of processes: compiled once, not in each.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo serve check test clients test-clients fuzz fuzz-api bench peers docs clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BIN)/.ready: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing (the first time takes a few minutes) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		-e '.[engine,postgres,otel,test,dev]'
	@touch $@

setup: $(BIN)/.ready  ## create .venv and install everything the other targets use

demo: setup  ## edit a real photo through a running server and the official client
	@$(BIN)/python examples/demo.py

serve: setup  ## run the server on 127.0.0.1:8787
	@$(BIN)/retouch serve

check: setup  ## format, lint, types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

test: setup clients  ## the whole test suite
	@tests/run.sh $(BIN)/python

clients: setup  ## install the official clients that cannot share .venv
	@tests/e2e/clients/install.sh

test-clients: setup clients  ## the matrix of official clients against the real server, on nano
	@$(BIN)/python -m pytest -q -s tests/e2e/clients --weights nano

fuzz: setup  ## 100,000 mutated pictures and 20,000 mutated requests
	@$(BIN)/python bench/fuzz.py

fuzz-api: setup  ## thousands of generated requests against every OpenAPI document
	@$(BIN)/python bench/api_fuzz.py

bench: setup  ## every benchmark in its quick form, and one table in build/bench.md
	@$(BIN)/python bench

peers: setup  ## install the servers that bench/gateway.py measures beside ours
	@$(BIN)/python bench/gateway.py --install

docs: setup  ## regenerate docs/settings.md
	@$(BIN)/python -m retouch.cli settings --markdown > docs/settings.md

clean:  ## remove what the targets made
	@rm -rf .venv build demo data
