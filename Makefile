# `make demo` and `make test` need python3 with venv, a C compiler and git; they set up
# all the rest in .venv. PYTHON chooses another interpreter: make test PYTHON=python3.13

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Rebuilt when any of these changes.
CORE := pyproject.toml setup.py $(wildcard src/*.p*)

.PHONY: demo test test-asan lint types bench rebase soak simulate clean

demo: $(VENV)/demo.installed
	@echo "What was said:"; sed 's/^/    /' examples/call.txt; echo "What is heard, live:"
	@env -u ASSEMBLYAI_API_KEY $(BIN)/aai-stream transcribe examples/call.wav

test: lint types
	$(BIN)/pytest
	$(BIN)/pytest --benchmark-only benchmarks
	$(BIN)/python -m benchmarks.soak --seconds 60

lint: $(VENV)/dev.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	PATH="$(abspath $(BIN)):$$PATH" cython-lint src
	$(BIN)/python tests/check_c_warnings.py
	$(BIN)/lint-imports --no-cache

types: $(VENV)/dev.installed
	$(BIN)/mypy
	$(BIN)/stubtest --mypy-config-file pyproject.toml aai_stream._core

# The core's tests under AddressSanitizer and UndefinedBehaviorSanitizer; needs gcc.
test-asan: $(VENV)/dev.installed
	$(BIN)/python tests/sanitize.py

bench: $(VENV)/dev.installed
	$(BIN)/pytest --benchmark-only benchmarks

# The instructions of every path, counted anew for `bench` to compare with.
rebase: $(VENV)/dev.installed
	$(BIN)/python -m benchmarks.baseline

# A hundred calls at once, for ten minutes, on a server that keeps failing.
soak: $(VENV)/dev.installed
	$(BIN)/python -m benchmarks.soak --seconds 600

# So many hours of calls under virtual time; a minute has about a hundred of them.
HOURS ?= 200
simulate: $(VENV)/dev.installed
	$(BIN)/python -m tests.simulation --hours $(HOURS)

$(VENV)/%.installed: $(CORE)
	@echo "Setting up $(VENV): a minute or two, the first time"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@

$(VENV)/demo.installed: EXTRAS = cli,local
$(VENV)/dev.installed: EXTRAS = dev

clean:
	rm -rf $(VENV) build src/*.egg-info src/aai_stream/_core.*.so
