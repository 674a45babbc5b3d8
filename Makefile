# Two commands do everything from a bare clone, and both are safe to repeat:
#
#   make demo    set up .venv, then `rhcard demo`
#   make test    set up .venv and the test programs, then style, types and tests
#   make soak    what takes too long for every test run: attacks and fuzzing at length
#
# DEMO_ARGS="--out DIR" and PYTEST_ARGS="-k channel" are passed on.

PYTHON_IN_VENV := .venv/bin/python
DEMO_ARGS ?=
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test soak lint types format clean setup-run setup-test

help:
	@sed -n 's/^#   //p' Makefile

demo: setup-run
	@.venv/bin/rhcard demo $(DEMO_ARGS)

# The groups are those of conftest.py, in its order. The tests start some hundred processes:
# each would compile the packages anew where Python is told to write no bytecode. A process that
# hangs is ended and fails; started again, it would hang again, up to a dozen times.
test: export PYTHONDONTWRITEBYTECODE :=
test: lint types
	$(PYTHON_IN_VENV) -m pytest --numprocesses auto --max-worker-restart 0 --dist loadgroup --no-loadscope-reorder $(PYTEST_ARGS)

soak: setup-test
	$(PYTHON_IN_VENV) -m benchmarks.soak

lint: setup-test
	$(PYTHON_IN_VENV) -m ruff check .

types: setup-test
	$(PYTHON_IN_VENV) -m mypy

format: setup-test
	$(PYTHON_IN_VENV) -m ruff check --fix .
	$(PYTHON_IN_VENV) -m ruff format .

setup-run:
	@./bootstrap.sh run

setup-test:
	@./bootstrap.sh test

clean:
	rm -rf .venv tests/programs/node/node_modules rhcard-demo rhcard-demo-[0-9]* build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
