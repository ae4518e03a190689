# What a newcomer types first. Every target makes what it needs, once; run it again at any time.
#
#   VENV=.venv      where the environment lies       PYTHON=python3.12   which Python makes it
#   ARGS="--keep"   more words for demo and test     BUDGET=2h           how long nightly may take
#   BUDGET=5m       the same for soak, which otherwise takes half an hour
#   DEMO=short      fetches no more for the demo than its first model (16 MB instead of 100)

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV ?= .venv
BUDGET ?= 2h
ARGS ?=
DEMO ?=
NETWORK_S ?= 600
BIN := $(VENV)/bin
export VENV
export PYTHON

.PHONY: help demo demo-chat cometbft network test check nightly soak bench lock models environment environment-test clean

help: ## Say what there is
	@echo "Probatum: an AI network where nobody has to be believed."
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18
	@echo
	@echo "Assumed: Linux, Python >= 3.11 with venv (Debian: python3-venv), a Python package"
	@echo "index that pip can reach, and about 2 GB of disk. Nothing outside this folder changes."

environment:
	@tools/environment.sh run

environment-test:
	@tools/environment.sh test

models: environment ## Fetch the real models that the demo and the tests use
	@$(BIN)/python models/fetch.py

demo: environment ## Start a small network, ask real models, lose a node, verify the receipt
	@$(BIN)/python models/fetch.py magika
	@[ "$(DEMO)" = short ] || \
		$(BIN)/python models/fetch.py --optional sp500-volatility all-minilm-l6-v2
	@$(BIN)/probatum demo $(ARGS)

demo-chat: environment ## Talk with a language model, recheck it, kill its node in mid-stream
	@$(BIN)/python models/fetch.py smollm2-135m-instruct
	@$(BIN)/probatum demo chat $(ARGS)

cometbft: environment ## Build CometBFT, the engine of several validators, once (Go >= 1.22.11)
	@$(BIN)/python tools/cometbft.py

network: environment cometbft ## The demo on a ledger that four validators keep (builds CometBFT)
	@$(BIN)/python models/fetch.py magika
	@$(if $(findstring --keep,$(ARGS)),,timeout --foreground $(NETWORK_S)) \
		$(BIN)/probatum demo --validators 4 $(ARGS)

check: environment-test ## Lint, types, import contracts
	@$(BIN)/ruff format --check --quiet . || \
		{ echo "Not formatted; $(BIN)/ruff format . does it." >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo

test: check ## Everything that a change must pass
	@$(BIN)/python models/fetch.py
	@$(BIN)/python tools/cometbft.py --optional
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --durations=5 $(ARGS)

nightly: environment-test ## Long tests and endless seeds, BUDGET=2h; goes on where it stopped
	@$(BIN)/python models/fetch.py
	@$(BIN)/python tools/cometbft.py --optional
	@$(BIN)/python tools/nightly.py --budget $(BUDGET)

soak: environment-test ## Kill and restart under load for BUDGET=30m; ARGS='--of texts' for streams
	@$(BIN)/python tools/nightly.py --soak $(if $(filter file,$(origin BUDGET)),30m,$(BUDGET)) $(ARGS)

bench: environment-test ## Measure; prints tables and writes bench.json
	@$(BIN)/python models/fetch.py
	@$(BIN)/python -m benchmarks $(ARGS)

lock: environment-test ## Write the lock files anew (ARGS=--upgrade takes the newest versions)
	@tools/lock.sh $(ARGS)

clean: ## Remove everything that make made
	@if [ -f "$(VENV)/pyvenv.cfg" ]; then rm -rf "$(VENV)"; fi
	@rm -rf .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	@rm -rf src/probatum/canon/evaluate/kernel/built src/probatum/runtime/text/kernel/built
	@find src tests tools models -name __pycache__ -type d -prune -exec rm -rf {} +
