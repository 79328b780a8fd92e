# make setup demo test check bench serve clean. Every target sets up what it needs; a second run finds it done.

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VERSION := $(shell cat .python-version)
BIN := .venv/bin
INSTALLED := .venv/.installed
IMAGES := sandboxes/images/built/.current
IMAGE_SOURCES := $(shell find sandboxes/images -type f ! -path '*/built/*' ! -path '*/__pycache__/*')

.PHONY: help setup demo test check format generate bench serve clean

help:
	@echo "make setup     virtual environment, dependencies, guest images"
	@echo "make demo      a real agent job, end to end, on this machine"
	@echo "make serve     the service, until Ctrl-C"
	@echo "make test      every test"
	@echo "make check     ruff, mypy, import directions"
	@echo "make format    ruff's formatter and safe fixes"
	@echo "make generate  what is made from other files and checked in: rpc code, JSON Schemas"
	@echo "make bench     every benchmark against its floors; results and plots in build/bench/"
	@echo "make clean     removes all of the above"

setup: $(IMAGES)

demo: setup
	@$(BIN)/python -m tests.demo

serve: setup
	@$(BIN)/lockgate serve

test: setup
	@$(BIN)/python -m pytest

check: $(INSTALLED)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(INSTALLED)
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

generate: $(INSTALLED)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python proto/generate.py
	@$(BIN)/python -m sandboxes.schema

bench: setup
	@$(BIN)/python -m bench

clean:
	rm -rf .venv build dist sandboxes/images/built .lockgate \
		.mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The first Python that is new enough: the one named like .python-version, then plain python3.
$(BIN)/python:
	@found=; for python in python$(VERSION) python3; do \
		if $$python -c 'import sys; sys.exit(sys.version_info < tuple(map(int, "$(VERSION)".split("."))))' 2>/dev/null; \
		then found=$$python; break; fi; done; \
	if [ -z "$$found" ]; then \
		echo "Lockgate needs Python $(VERSION) or newer; there is no python$(VERSION) on PATH, and python3 is missing or older" >&2; \
		exit 1; fi; \
	echo "==> virtual environment (.venv) with $$($$found --version)"; \
	$$found -m venv .venv

$(INSTALLED): constraints.txt pyproject.toml .python-version | $(BIN)/python
	@echo "==> dependencies (constraints.txt, by hash)"
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --require-hashes -r constraints.txt
	@echo "==> lockgate itself"
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(IMAGES): $(INSTALLED) $(IMAGE_SOURCES)
	@echo "==> guest images"
	@$(BIN)/python -m sandboxes.images.build
	@touch $@
