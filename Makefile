.DEFAULT_GOAL := help
.PHONY: help setup demo test check format bench clean
PYTHON := .venv/bin/python
SHELL := /bin/bash
export LC_ALL := C.UTF-8

help:  ## Show every target
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: .venv/ready  ## Install what is needed: Debian packages (as root), the virtual environment

demo: setup  ## A lab of real hosts, a deploy, a rolling update under traffic, a report: under 8 minutes
	@./ops.py demo

test: setup  ## Everything CI runs, fast tests first
	@tests/run

check: setup  ## The fast part: linters, types, unit tests; under a minute
	@tests/run check

format: setup  ## Format the code and fix what the linter can
	@.venv/bin/ruff format --quiet . && .venv/bin/ruff check --fix --quiet .

bench: setup  ## Measure, each beside its peer or limit; prints tables, saves JSON in bench/results
	@$(PYTHON) -m bench

clean:  ## Take the lab down, remove what was built
	@if [ -x $(PYTHON) ]; then ./ops.py lab down; fi
	@rm -rf .cache dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/ready: requirements.txt fleet/lab/apt-packages.txt tests/setup
	@tests/setup
