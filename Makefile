# gpubench: `make demo` shows it, `make test` checks it; both set up what they need in .venv.
VENV := .venv
BIN := $(VENV)/bin
SHELL := /bin/bash

.PHONY: demo setup test lint format peers agreement races bench cuda gpu-check docs clean
.DELETE_ON_ERROR:

demo: $(VENV)/.ready-demo
	@$(BIN)/python tools/demo.py

setup: $(VENV)/.ready-demo

# Two processes: most of the time goes into compiling kernels, each on one core.
test: $(VENV)/.ready-test lint
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations=15 --durations-min=5

lint: $(VENV)/.ready-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.ready-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# What the documentation says of the benchmarks is made from the program; a test says when this is due.
docs: $(VENV)/.ready-demo
	@$(BIN)/python tools/write_docs.py

# gpubench beside likwid-bench, STREAM-style loops and a pointer chase in C, and numpy, alternating in one run.
peers: $(VENV)/.ready-demo
	@$(BIN)/python bench/peers.py
	@$(BIN)/python bench/latency.py
	@$(BIN)/python bench/transfer.py

# Figures of this machine that should agree: the end of the cache sweep with stream's, integrity with copy.
agreement: $(VENV)/.ready-demo
	@$(BIN)/python bench/agreement.py

# Every kernel on a simulated GPU that reports data races and stray accesses: minutes, and oclgrind from the system.
races: $(VENV)/.ready-demo
	@$(BIN)/python bench/races.py

# What the service costs: ping, many clients, memory at rest; and the figure through the socket beside in process.
bench: $(VENV)/.ready-demo
	@$(BIN)/python bench/service.py
	@$(BIN)/python bench/socket_pairs.py

# PyCUDA has no wheels: build one, without a toolkit, and install the CUDA runtime with it.
cuda: $(VENV)/.ready-demo
	$(BIN)/python -m gpubench.devices.build_pycuda $(VENV)/wheels
	$(BIN)/python -m pip install --quiet --find-links $(VENV)/wheels --editable '.[server,opencl,cuda]'

# On a machine with a GPU, network or none: its tests, the suite twice, and copies by others in turns with ours.
# ARGUMENTS are those of tools/gpu-check.sh, such as --offline.
gpu-check:
	@tools/gpu-check.sh $(VENV) $(ARGUMENTS)

$(VENV)/.ready-demo: pyproject.toml tools/setup.sh
	@tools/setup.sh $(VENV) server,opencl
	@touch $@

$(VENV)/.ready-test: pyproject.toml tools/setup.sh
	@tools/setup.sh $(VENV) server,opencl,test
	@touch $@ $(VENV)/.ready-demo

clean:
	rm -rf $(VENV) build demo bench/build .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
