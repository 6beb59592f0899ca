# Needs Python 3.11 or newer and make. `make run` or `make test` may come first; either sets up.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup run test ui check repro

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## Make the environment .venv from the pinned versions; the others do so if need be

# What pip is told here about package sources (an offered folder of wheels, a mirror) is told to uv
# too, so that a build of torch offered by pip's settings is used; nothing of it is written down.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  f"Fuseline needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}. Try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	@setting() { $(BIN)/python -m pip config get "$$1" 2>/dev/null || true; }; \
	if $(BIN)/python -m pip install --quiet uv; then \
	  export UV_FIND_LINKS="$${UV_FIND_LINKS:-$${PIP_FIND_LINKS:-$$(setting global.find-links)}}"; \
	  export UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$(setting global.index-url)}}"; \
	  [ -n "$$UV_DEFAULT_INDEX" ] || unset UV_DEFAULT_INDEX; \
	  echo "Installing the pinned packages with uv; the first time takes a few minutes."; \
	  $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -e '.[dev]' -c constraints.txt; \
	else \
	  echo "uv cannot be installed here; pip installs the same packages, only slower."; \
	  $(BIN)/python -m pip install --quiet -e '.[dev]' -c constraints.txt; \
	fi
	@touch $@

run: $(READY) ## Run the pipeline on params.yaml's project, at first the embedded digits-qa
	@$(BIN)/fuseline run

test: $(READY) ## Run all tests
	@$(BIN)/python -m pytest

ui: $(READY) ## Show runs and models in MLflow's pages
	@$(BIN)/fuseline ui

check: $(READY) ## Lint, types and import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

repro: $(READY) ## dvc repro, waiting for a run that is in its way
	@$(BIN)/fuseline repro
