# PYTHON is the interpreter that .venv is made with (3.11 or later), TESTS the tests to run, SEED and
# RUNS the simulations, BENCH the benchmarks and their options.

PYTHON ?= python3
TESTS ?= tests
SEED ?= 1
RUNS ?= 1000
BENCH ?=
export PYTHON

# They reach every branch of the pure core.
CORE_TESTS = tests/unit/core

help:  ## list these commands
	@awk -F ':.*  ## ' '/^[a-z]+:.*  ## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/ready imagepipe.ini  ## start the daemon on imagepipe.ini, which is made if there is none
	@exec .venv/bin/twistd -n imagepipe -c imagepipe.ini

test: .venv/ready-dev  ## install what the tests need, and run them
	@sh scripts/setup.sh tools
	@sh scripts/setup.sh photos
	.venv/bin/python -m coverage run -m pytest $(CORE_TESTS)
	.venv/bin/python -m coverage report
	.venv/bin/python -m pytest -n 2 --dist loadfile $(TESTS)

check: .venv/ready-dev  ## formatting, lint and types
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

simulate: .venv/ready-dev  ## prove replication in a simulated world of faults: SEED=1 RUNS=1000
	.venv/bin/python -m tests.simulation --seed $(SEED) --runs $(RUNS)

bench: .venv/ready-bench  ## measure beside other image servers, into docs/performance.md: BENCH="--quick store on_demand"
	@sh scripts/setup.sh tools
	@sh scripts/setup.sh photos
	@sh scripts/setup.sh rivals
	.venv/bin/python -m benchmarks $(BENCH)

lock:  ## renew constraints.txt, the versions that these commands install
	@sh scripts/setup.sh lock

clean:  ## remove what these commands made; imagepipe.ini and the images stay
	rm -rf .venv .cache .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
	find imagepipe tests benchmarks twisted -name __pycache__ -prune -exec rm -rf {} +

# imagepipe is installed into .venv, editable: alone, or with what its developers need.
.venv/ready: pyproject.toml setup.py constraints.txt
	@sh scripts/setup.sh venv
	@touch $@

.venv/ready-dev: pyproject.toml setup.py constraints.txt
	@sh scripts/setup.sh venv test,check
	@touch $@

.venv/ready-bench: pyproject.toml setup.py constraints.txt
	@sh scripts/setup.sh venv test,check,bench
	@touch $@

imagepipe.ini:
	cp imagepipe.ini.dist imagepipe.ini

.PHONY: help run test check simulate bench lock clean
.DELETE_ON_ERROR:
