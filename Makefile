# `make demo` and `make test` are the two that a newcomer needs. All set up .venv once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# A worker a core; every worker holds torch, so at most four. Idle ones take over what others have
# not begun, and a module's tests stay together otherwise, with the fixtures that they share.
PYTEST := $(BIN)/pytest -n logical --maxprocesses 4 --dist worksteal

# Tests start hundreds of processes; where Python is told to write no bytecode, each would compile
# hardy anew.
COMPILE := $(BIN)/python -m compileall -q src

.PHONY: demo test test-all lint clean

demo: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" mlflow run . --env-manager local --experiment-name hardy \
		-P spec=experiments/quickstart.yaml

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(COMPILE)
	$(PYTEST) -m 'not slow and not real'

# What `make test` leaves out, after it: each test runs once.
test-all: test
	$(PYTEST) -m 'slow or real'

# The virtual environment is whole or absent: the mark is written last.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "hardy needs Python 3.11 to 3.13; try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[demo,dev]'
	touch $(READY)

lint: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
