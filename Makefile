# PYTHON is the interpreter that .venv is made with (3.11 or later), TESTS the tests that `make test`
# runs (all), SEED and RUNS the simulations, BENCH the benchmarks and their options,
# BASE another checkout to compare with in some of them.

PYTHON ?= python3
TESTS ?=
SEED ?= 1
RUNS ?= 1000
BENCH ?=
BASE ?=
export PYTHON BASE

# pytest on both cores; a file's tests stay together, because they share what they start.
PYTEST = pytest -n 2 --dist loadfile

help:  ## list these commands
	@awk -F ':.*  ## ' '/^[a-z]+:.*  ## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/ready imagepipe.ini  ## start the daemon on imagepipe.ini, which is made if there is none
	@exec .venv/bin/twistd -n imagepipe -c imagepipe.ini

example: .venv/ready  ## draw photo.jpg, an image to try imagepipe with
	@.venv/bin/python scripts/example_image.py photo.jpg

unit: .venv/ready-dev  ## run the unit tests, which take less than a minute and need only Python
	.venv/bin/python -m $(PYTEST) tests/unit

test: .venv/ready-dev  ## install what the tests need, and run all of them, or those of TESTS
	@sh scripts/setup.sh tools
	@sh scripts/setup.sh photos
ifeq ($(TESTS),)
	@.venv/bin/python -m coverage erase
	.venv/bin/python -m coverage run -m $(PYTEST) tests/unit/core
	@.venv/bin/python -m coverage combine --quiet
	.venv/bin/python -m coverage report
	.venv/bin/python -m $(PYTEST) --ignore tests/unit/core
else
	.venv/bin/python -m $(PYTEST) $(TESTS)
endif

check: .venv/ready-dev  ## formatting, lint, types, and the links of the documentation
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	@$(MAKE) --no-print-directory docs

docs: .venv/ready-dev  ## build the documentation as a site in build/docs; a broken link is an error
	.venv/bin/python -m sphinx --quiet --fail-on-warning --keep-going docs build/docs

simulate: .venv/ready-dev  ## test replication in a simulated world of faults: SEED=1 RUNS=1000
	.venv/bin/python -m tests.simulation --seed $(SEED) --runs $(RUNS)

bench: .venv/ready-bench  ## benchmark against other image servers, into docs/performance.md: BENCH="--quick store on_demand"
	@sh scripts/setup.sh tools
	@sh scripts/setup.sh photos
	@sh scripts/setup.sh rivals
	.venv/bin/python -m benchmarks $(BENCH)

lock:  ## renew constraints.txt, the versions that these commands install
	@sh scripts/setup.sh lock

clean:  ## remove what these commands made; imagepipe.ini and the images stay
	rm -rf .venv .cache .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
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

.PHONY: help run example unit test check docs simulate bench lock clean
.DELETE_ON_ERROR:
