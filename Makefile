# gpubench: `make demo` shows it, `make test` checks it; both set up what they need in .venv.
VENV := .venv
BIN := $(VENV)/bin
SHELL := /bin/bash

# Before the tests, because those reach no registry. Exit code 77: there is no Chromium for this machine, or no
# registry to fetch it from; the tests in a browser are then skipped, and report why.
FIND_CHROMIUM = $(BIN)/python tools/chromium.py >/dev/null || test $$? = 77

.PHONY: demo setup setup-test test lint format peers agreement limits platforms races bench load hostile fuzz soak browser fuzz-api units cuda gpu-check image-check docs clean
.DELETE_ON_ERROR:

demo: setup
	@$(BIN)/python tools/demo.py

# Two processes: most of the time goes into compiling kernels, each on one core. Tests that depend on elapsed time run
# after them, one at a time. The caller's environment stays outside: a variable such as PYTHONUNBUFFERED must not decide
# whether a test passes.
test: setup-test lint
	tools/clean-env.sh $(BIN)/python -m pytest -m "not timing" -n 2 --dist worksteal --durations=15 --durations-min=5
	tools/clean-env.sh $(BIN)/python -m pytest -m timing -n 0
	@$(FIND_CHROMIUM)
	tools/clean-env.sh $(BIN)/python -m pytest -rs tests/browser

lint: setup-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Tables of benchmarks, flags and codes, and the JSON Schema of the run document, are made from the program; a test
# fails when they are out of date.
docs: setup
	@$(BIN)/python tools/write_docs.py

# gpubench beside likwid-bench, STREAM-style loops, a pointer chase in C, and numpy, in turns.
peers: setup
	@$(BIN)/python bench/peers.py
	@$(BIN)/python bench/latency.py
	@$(BIN)/python bench/transfer.py

# What limits each benchmark: the memory, or its own arithmetic.
limits: setup
	@$(BIN)/python bench/limits.py

# Figures of this machine that should agree: the end of the cache sweep with stream's, integrity with copy.
agreement: setup
	@$(BIN)/python bench/agreement.py

# Every benchmark on every OpenCL driver here: PoCL, Intel's runtime from PyPI in an environment of its own, and what
# the system has, such as rusticl. The table is in docs/opencl.md.
platforms: setup
	@test -x build/platforms/bin/pip || python3 -m venv build/platforms
	@build/platforms/bin/pip install --quiet intel-opencl-rt intel-cmplr-lib-rt
	@$(BIN)/python bench/platforms.py build/platforms

# The units in contrib/systemd by systemd's own check, which needs systemd; gpubench itself need not be installed.
units:
	@folder=$$(mktemp -d) && trap 'rm -r "$$folder"' EXIT && \
	    for unit in contrib/systemd/*.service contrib/systemd/*.timer; do sed 's|/usr/local/bin/gpubench[a-z-]*|/bin/true|' "$$unit" >"$$folder/$${unit##*/}"; done && \
	    systemd-analyze verify --man=no "$$folder"/*

# Every kernel on a simulated GPU that reports data races and stray accesses: minutes, and oclgrind from the system.
races: setup
	@$(BIN)/python bench/races.py

# What the service costs: pings under load, as below; and the figure through the socket beside the one in process.
bench: load
	@$(BIN)/python bench/socket_pairs.py

# Pings at 1 to 500 connections over TCP, TLS and a Unix socket, in turns with a bare echo server and with aiohttp,
# which gets an environment of its own. ARGUMENTS are those of bench/load.py.
load: setup
	@test -x build/aiohttp/bin/pip || $(BIN)/python -m venv build/aiohttp
	@build/aiohttp/bin/pip install --quiet aiohttp
	@$(BIN)/python bench/load.py --aiohttp build/aiohttp/bin/python $(ARGUMENTS)

# An honest client's pings among hundreds of hostile ones.
hostile: setup-test
	@$(BIN)/python bench/hostile.py $(ARGUMENTS)

# The protocol under up to two million inputs that atheris makes, in an environment of its own: about 45 minutes, as
# estimated from the run in docs/load.md. `make test` gives the same targets some inputs of hypothesis. ARGUMENTS are
# those of bench/fuzz.py.
fuzz: setup
	@test -x build/atheris/bin/pip || $(BIN)/python -m venv build/atheris
	@build/atheris/bin/pip install --quiet --editable ".[server]" "atheris>=3" || { \
	    printf 'make fuzz: there is no atheris for %s on this machine; \n%s\n' "$$($(BIN)/python -V)" \
	    'try make PYTHON= with another Python; `make test` runs the same targets with inputs of hypothesis' >&2; exit 2; }
	@build/atheris/bin/python bench/fuzz.py $(ARGUMENTS)

# Faults of every kind over and over: 10 minutes, or ARGUMENTS: --seconds N, --rounds N of each fault, --only WORDS.
soak: setup
	@$(BIN)/python bench/soak.py $(ARGUMENTS)

# The end of `make test` alone: the page in a real browser, the system's chromium or one from npm's registry.
browser: setup-test
	@$(FIND_CHROMIUM)
	$(BIN)/python -m pytest -rs tests/browser

# The HTTP API under requests that schemathesis makes from its description, in an environment of its own.
fuzz-api: setup
	@test -x build/schemathesis/bin/schemathesis || python3 -m venv build/schemathesis
	@build/schemathesis/bin/pip install --quiet schemathesis
	@$(BIN)/python bench/fuzz_api.py build/schemathesis/bin/schemathesis

# PyCUDA has no wheels: build one, without a toolkit, and install the CUDA runtime with it.
cuda: setup
	$(BIN)/python -m gpubench.devices.cuda.build_pycuda $(VENV)/wheels
	@PIP_FIND_LINKS="$(abspath $(VENV))/wheels $$PIP_FIND_LINKS" tools/setup.sh $(VENV) server,opencl,cuda

# On a machine with a GPU, network or none: its tests, the suite twice, and peers' kernels in turns with ours.
# ARGUMENTS are those of tools/gpu-check.sh: --offline, --plan (what it would do, with times), --budget SECONDS.
gpu-check:
	@tools/gpu-check.sh $(VENV) $(ARGUMENTS)

# The Containerfile's steps in a clean root made by debootstrap, and its command as process 1 there: minutes, as root.
# With EXTRAS=server,opencl,cuda PyCUDA is built, too.
image-check:
	@command -v debootstrap >/dev/null || { test $$(id -u) != 0 || apt-get install -y debootstrap; }
	@python3 tools/image_check.py

setup:
	@tools/setup.sh $(VENV) server,opencl

setup-test:
	@tools/setup.sh $(VENV) server,opencl,report,test,browser

clean:
	rm -rf $(VENV) build dist demo bench/build .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
