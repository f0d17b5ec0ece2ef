# The whole set-up: `make run` starts the daemon, `make test` passes the tests.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# Tests wait for processes half of the time: one worker more than most small machines have processors.
WORKERS ?= 3
# How many times as many random examples as in the everyday suite `make stress` tries.
EFFORT ?= 40
SOURCES := setup.cfg pyproject.toml $(shell find twisted twisted_virtlog -name '*.py' -o -name '*.conf' -o -path '*/units/*.*')

# Hundreds of tests start a daemon, which would compile its modules each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test test-lengthy test-slow test-lanes test-staged test-threads test-all test-libvirt check format stress bench guard clean

run: $(VENV)/installed
	$(BIN)/twistd --pidfile= -n virtlogd

# The everyday suite: under two minutes; what needs root, libvirt or QEMU is skipped without them.
test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -q -m "not slow and not lengthy" --numprocesses $(WORKERS) --dist worksteal

# What takes seconds each, several at a time.
test-lengthy: $(VENV)/installed-dev
	$(BIN)/python -m pytest -q -m "lengthy and not slow" --numprocesses $(WORKERS) --dist worksteal

test-slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest -q -m slow

# Where all bytes go through threads of file systems: the logs, then the daemons, and beside virtlogd.
test-lanes: test-staged test-threads

test-staged: $(VENV)/installed-dev
	TWISTED_VIRTLOG_TEST_STAGED=1 $(BIN)/python -m pytest -q -m "not slow" --numprocesses $(WORKERS) \
		--dist worksteal tests/logs

test-threads: $(VENV)/installed-dev
	TWISTED_VIRTLOG_TEST_FILE_THREADS=always $(BIN)/python -m pytest -q -m "not slow" \
		--numprocesses $(WORKERS) --dist worksteal tests/daemon tests/stack

test-all: test test-lengthy test-slow test-lanes

# tests/stack with the libvirt, QEMU and Python in the directory LIBVIRT_ROOT (see CONTRIBUTING.md).
test-libvirt:
	tests/stack/in_root.sh $(or $(LIBVIRT_ROOT),$(error LIBVIRT_ROOT is not set)) -q

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

stress: $(VENV)/installed-dev
	$(BIN)/python -m bench.stress
	$(BIN)/python -m bench.faults
	$(BIN)/python -m bench.following_rounds
	$(BIN)/python -m bench.roots
	EFFORT=$(EFFORT) $(BIN)/python -m pytest -q -m "hypothesis and not slow and not libvirt" \
	    --numprocesses $(WORKERS) --dist worksteal --timeout 0

# Beside libvirt's virtlogd; needs a C compiler, and a machine that has nothing else to do.
bench: $(VENV)/installed-dev
	$(BIN)/python -m bench

# Whether a ratio that matters has fallen by a quarter, in each of three tries.
guard: $(VENV)/installed-dev
	$(BIN)/python -m bench --guard

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# A stamp, not the interpreter: where ensurepip is missing, venv fails but leaves an interpreter behind.
$(VENV)/created:
	$(PYTHON) -m venv --clear $(VENV)
	touch $@

# setuptools would pack again what an earlier build left in build/, also modules that are gone.
$(VENV)/installed: $(VENV)/created $(SOURCES)
	rm -rf build
	$(PIP) install .
	touch $@

# The tools and what the tests need. The tests run on the checkout; the installed package gives them
# the commands and the plugin.
$(VENV)/installed-dev: $(VENV)/created $(SOURCES)
	rm -rf build
	$(PIP) install '.[test,dev]'
	touch $(VENV)/installed $@
