# What to do with a checkout; `make` alone lists it.  Everything happens in .venv, target and dist here.

PYTHON ?= python3
# Cargo profile of the extension: `make test PROFILE=dev` runs the suite on a debug build.
PROFILE ?= release

# Folder of the virtual environment, a relative one here: `make test VENV=.venv-newest PYTHON=python3.13`.
VENV ?= .venv
BIN := $(VENV)/bin
LOCKED := $(VENV)/.locked
BUILT := $(VENV)/.built-$(PROFILE)
# Inputs that each fuzz target makes, besides the saved ones.
RUNS ?= 20000
# One worker for each core; the long hypothesis profile takes the time it takes.
PYTEST = $(BIN)/python -m pytest --numprocesses=auto $(if $(filter long,$(HYPOTHESIS_PROFILE)),--timeout=0)
# What can come out otherwise with other versions of upstream.
UPSTREAM_TESTS := $(addprefix tests/,aggregating bps parity improvements upstream butler datastore quantum execution dropin demo transferring \
    quantum_graphs asking reporting exporting running collecting/test_collect_executors.py)
RUST := Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -o -name Cargo.toml)

export VIRTUAL_ENV := $(abspath $(VENV))
export PATH := $(VIRTUAL_ENV)/bin:$(PATH)
export PYO3_PYTHON := $(VIRTUAL_ENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_QUIET := 1
unexport PYTHONPATH PYTHONHOME QUANTUM_BUTLER_NATIVE

say = @printf '\n== %s\n'

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv build test test-rust test-python test-upstream prove lint journeys api fuzz sanitize demo bench docs tutorial sdist wheel wheels notices lock \
    clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

venv: $(LOCKED) ## Make .venv with the locked requirements

$(LOCKED): requirements.lock
	@command -v $(PYTHON) >/dev/null || \
	    { echo "No $(PYTHON) here; name a Python 3.11 or newer: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "$$($(PYTHON) --version) is too old; name a Python 3.11 or newer: make PYTHON=..." >&2; exit 1; }
	$(say) "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)
	$(say) "Installing the locked requirements into it (some 60 packages; a minute or two)"
	@$(BIN)/pip install --prefer-binary --require-hashes -r requirements.lock
	@touch $@

build: $(BUILT) ## Build the extension and install the package into .venv

$(BUILT): $(LOCKED) $(RUST) pyproject.toml
	@command -v cargo >/dev/null || { echo "No cargo here; the extension is built with Rust 1.89 or newer" >&2; exit 1; }
	$(say) "Building the extension ($(PROFILE))"
	@rm -f $(VENV)/.built-*
	@$(BIN)/maturin develop --profile $(PROFILE) --locked
	@touch $@

test: test-rust test-python ## Run every test but the slow proofs

test-rust:
	$(say) "Testing the Rust core"
	@if cargo nextest --version >/dev/null 2>&1; \
	    then cargo nextest run --locked -p quantum-butler-core && cargo test --locked --doc -p quantum-butler-core; \
	    else cargo test --locked -p quantum-butler-core; fi

test-python: $(BUILT)
	$(say) "Testing the package"
	@$(PYTEST) -m "not proof"

test-upstream: $(BUILT) ## Run the tests that depend on the installed lsst packages
	$(say) "Testing beside upstream, on $$($(BIN)/python --version)"
	@$(PYTEST) -m "not proof" $(UPSTREAM_TESTS)

prove: $(BUILT) ## Run the slow proofs (faults, kills, load, fuzz); docs/reliability.md tells how to make them larger
	$(say) "Proving what takes longer"
	@$(PYTEST) -m proof
	$(say) "Testing parity with every fast path off"
	@QUANTUM_BUTLER_NATIVE=0 $(PYTEST) -m "not proof" tests/parity
	@$(MAKE) --no-print-directory fuzz

lint: $(BUILT) ## Check format, types, the stub, imports, documentation and what is committed
	$(say) "Checking Rust"
	@cargo fmt --check
	@cargo fmt --check --manifest-path fuzz/Cargo.toml
	@cargo clippy --locked --workspace --all-targets -- -D warnings
	@RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --document-private-items
	$(say) "Checking Python"
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml quantum_butler._core
	$(say) "Checking who imports whom, and for what nobody uses"
	@$(BIN)/lint-imports --no-logo --no-cache
	@$(BIN)/vulture
	$(say) "Checking that the licences of all crates are told"
	@$(BIN)/python .ci/notices.py --check THIRD_PARTY_NOTICES.txt
	$(say) "Checking that the sources name no machine"
	@$(BIN)/python .ci/check_sources.py

journeys: $(BUILT) ## Print how many rooms get, put and others pass through
	@$(BIN)/python tests/habits/journeys.py

api: $(BUILT) ## Write anew what tests hold the API and upstream's private names to
	@$(BIN)/python tests/habits/api.py --renew
	@$(BIN)/python tests/habits/upstream_names.py --renew
	@git --no-pager diff --stat -- tests/habits

fuzz: ## Run the fuzz targets: make fuzz RUNS=20000 (needs a C++ compiler)
	$(say) "Fuzzing what strangers may hand us"
	@fuzz/run.sh $(RUNS)

sanitize: $(LOCKED) ## Run the tests of the core, and those of the extension, with AddressSanitizer (an hour)
	$(say) "Testing with AddressSanitizer"
	@.ci/sanitize.sh

demo: $(BUILT) ## Run a real quantum graph with the stock butler and with ours
	$(say) "Running the demo"
	@$(BIN)/quantum-butler demo

bench: $(BUILT) ## Measure the kernels, and everything beside the stock class; write benches/RESULTS.md
	$(say) "Measuring (more than an hour; the machine should have nothing else to do; make bench goes on if it was stopped)"
	@$(BIN)/python benches/report.py --keep target/figures

sdist: $(LOCKED) ## Make an sdist, and a wheel from it, and import that
	$(say) "Making an sdist, and a wheel from it"
	@rm -rf dist/from-sdist && mkdir -p dist/from-sdist
	@$(BIN)/maturin sdist --out dist/from-sdist
	@$(BIN)/pip wheel --no-deps --no-build-isolation --wheel-dir dist/from-sdist dist/from-sdist/*.tar.gz
	@$(BIN)/pip install --no-deps --target dist/from-sdist/site dist/from-sdist/*.whl
	@PYTHONPATH=dist/from-sdist/site $(BIN)/python -c 'import quantum_butler._core as core; print("imported", core.__file__)'

wheel: $(LOCKED) ## Make a wheel
	$(say) "Making a wheel"
	@$(BIN)/maturin build --release --locked --out dist

docs: $(BUILT) ## Build the site into docs/_build/html; a warning is an error
	$(say) "Building the site"
	@rm -rf docs/_build docs/reference/generated
	@$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@$(BIN)/sphinx-build -W -q -b man docs docs/_build/man
	@echo "docs/_build/html/index.html docs/_build/man/quantum-butler.1"

wheels: ## Make wheels for Linux, x86_64 and aarch64, and try those that run here (half an hour; needs rustup's targets)
	@.ci/wheels.sh dist/wheels

tutorial: $(BUILT) ## Run the tutorial, and write anew what it prints, its pictures and its notebook
	@$(BIN)/python tests/documentation/walk_through.py

notices: $(LOCKED) ## Write anew the licences of the crates that wheels are linked with
	@$(BIN)/python .ci/notices.py THIRD_PARTY_NOTICES.txt

lock: ## Renew requirements.lock from pyproject.toml, for every Python from 3.11 on (needs uv)
	uv pip compile pyproject.toml --extra demo --extra plot --extra dask --extra graph --extra parsl --extra bps --extra export --group build \
	    --group test --group fuzz --group lint --group docs --universal --python-version 3.11 --generate-hashes --no-header --upgrade --output-file requirements.lock

clean: ## Remove what the other targets made
	rm -rf $(VENV) .venv-* target dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find .ci benches python tests -name __pycache__ -prune -exec rm -rf {} +
	rm -f python/quantum_butler/_core.*.so
