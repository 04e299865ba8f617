# Needs Python 3.11 or later, make and a package registry. Everything is installed into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PARALLEL := --numprocesses=auto --dist=worksteal
# Tests start hundreds of processes. Without the files of compiled code, each would compile the package again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo docs mutate test test-all check compile-tests house build clean

demo: $(VENV)/.base
	$(BIN)/soundalike demo

test: $(VENV)/.dev
	$(MAKE) --jobs=2 --output-sync check compile-tests
	$(BIN)/python -m pytest $(PARALLEL) --timeout=300 -o faulthandler_timeout=400 -m "not slow"

test-all: $(VENV)/.dev  # also slow tests, more examples, the wheels without a compiler, a second Python
	$(MAKE) --jobs=2 --output-sync check compile-tests
	$(BIN)/python -m pytest $(PARALLEL) --hypothesis-profile=thorough
	bash .ci/test-wheel $(BIN)/python
	bash .ci/test-python 3.13 $(BIN)/python

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_house.py

compile-tests: $(VENV)/.dev  # once, while the types are checked, instead of in every process that runs tests
	@$(BIN)/python -m pytest --collect-only -qq > /dev/null || true

house: $(VENV)/bin/python  # count imports between packages and list broken rules
	$(BIN)/python tools/house.py

mutate: $(VENV)/.dev  # put faults into the core, one at a time, and print those that no test notices (an hour)
	$(BIN)/python tools/mutate.py

docs: $(VENV)/.dev  # the site, in docs/_build/html
	$(BIN)/python -m sphinx -b html -n -W --keep-going -q docs docs/_build/html

build: $(VENV)/.dev
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[serve]'
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.base
