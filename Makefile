# The whole set-up: `make run` starts the daemon, `make test` passes the tests.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: run test test-all check format stress clean

run: $(VENV)/installed
	$(BIN)/twistd --pidfile= -n virtlogd

# The everyday suite: under two minutes; what needs root, libvirt or QEMU is skipped without them.
test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -q -m "not slow"

test-all: test
	$(BIN)/python -m pytest -q -m slow

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

stress: $(VENV)/installed-dev
	$(BIN)/python -m bench.stress

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python setup.cfg pyproject.toml $(shell find twisted_virtlog twisted -name '*.py')
	$(BIN)/python -m pip install --quiet --disable-pip-version-check .
	touch $@

# The tools and what the tests need. The tests run on the checkout; the installed package gives them
# the commands and the plugin.
$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check '.[test,dev]'
	touch $@
