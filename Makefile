# Thin names over scripts/bootstrap.py, nox and pyjobs. `make demo` and `make test` need Python 3.10+ and nothing else.
PYTHON ?= $(firstword $(shell command -v python3 python3.13 python3.12 python3.11 python3.10) python3)
SETUP := $(PYTHON) scripts/bootstrap.py
BIN := .venv/bin
NOX := $(BIN)/nox --non-interactive

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all test-coverage quality lint types format bench soak \
	start start-bg start-daemon stop stop-all status deploy clean

help: ## say what there is
	@sed -n 's/^\([a-z -]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 32

install: ## make .venv with pyjobs in it
	@$(SETUP)

demo: install ## 12 seconds: three jobs on a fresh home, and what became of them
	@$(BIN)/python scripts/demo.py

.PHONY: dev
dev:
	@$(SETUP) --group dev

test: dev ## the whole suite on this interpreter; ARGS="-k word" goes to pytest
	@bash scripts/system_packages.sh tests
	@$(NOX) -s test -- $(ARGS)

test-all: dev ## the whole suite on each interpreter that is there
	@bash scripts/system_packages.sh tests
	@$(NOX) -s tests -- $(ARGS)

test-coverage: dev ## the whole suite with branch coverage
	@$(NOX) -s coverage -- $(ARGS)

quality: dev ## formatting, lint, types, imports, completions, requirements
	@$(NOX) -s lint types imports completions requirements

lint: dev ## formatting and lint
	@$(NOX) -s lint

types: dev ## mypy --strict
	@$(NOX) -s types

format: dev ## format the code
	@$(NOX) -s format

bench: ## the figures of tests/benchmarks/README.md
	@$(SETUP) --group dev --group bench
	@bash scripts/system_packages.sh bench
	@$(NOX) -s bench -- $(ARGS)

soak: dev ## random faults against a load; ARGS="--minutes 30" goes to it
	@$(NOX) -s soak -- $(ARGS)

start: install ## run the daemon in the foreground
	@$(BIN)/pyjobs daemon run

start-bg start-daemon: install ## start the daemon in the background
	@$(BIN)/pyjobs daemon start

stop: install ## stop it
	@$(BIN)/pyjobs daemon stop

stop-all: install ## stop it without waiting for runs
	@$(BIN)/pyjobs daemon stop --force

status: install ## how everything is doing
	@$(BIN)/pyjobs status

deploy: ## an environment, folders, the daemon, and a look at it; HOME_DIR=/srv/pyjobs says where
	@scripts/deploy.sh $(HOME_DIR)

clean: ## remove environments and caches; data, logs and settings stay
	@rm -rf .venv .nox .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage* htmlcov dist build
