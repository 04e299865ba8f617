# Needs Python 3.11 or later, make, and the package registry. Everything goes into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-all check house build clean

demo: $(VENV)/.base
	$(BIN)/soundalike demo

test: $(VENV)/.dev check
	$(BIN)/python -m pytest -m "not slow"

test-all: $(VENV)/.dev check  # slow tests and more examples too, a wheel in a fresh environment, another Python
	$(BIN)/python -m pytest --hypothesis-profile=thorough
	bash .ci/test-wheel $(BIN)/python
	bash .ci/test-python 3.13

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_house.py

house: $(VENV)/bin/python  # which package imports how much of which, and every broken rule
	$(BIN)/python tools/house.py

build: $(VENV)/.dev
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.base
