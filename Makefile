# The front door. `make help` lists what can be asked for.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
PIP_FLAGS ?=
PIPELINE ?= web_attacks
ARGS ?=
SERVICE = $(subst _,-,$(PIPELINE))
# The newest model: detectors are published beside it, judged for the same use case.
BUNDLE ?= $(shell grep -ls '"use_case": "$(PIPELINE)"' runs/*/published/*/gate.json | sed 's/gate\.json$$/preprocess.json/' | xargs -r grep -Ls '"kind": *"detector"' | xargs -rn1 dirname | xargs -r ls -td | head -1)
TRUSTED_KEY ?= $(if $(SECMLOPS_TRUSTED_KEY),env:SECMLOPS_TRUSTED_KEY,$(patsubst %/published,%,$(patsubst %/,%,$(dir $(patsubst %/,%,$(BUNDLE)))))/keys/signing.pub)
HTTP_PORT ?= 8080
GRPC_PORT ?= 8081
REGISTRY ?= ghcr.io/secmlops
export PYTHONUNBUFFERED = 1
export TOKENIZERS_PARALLELISM = false

# A 3.11 interpreter under either name will do.
PYTHON_FOUND = $(shell command -v $(PYTHON) || command -v python3)

.PHONY: help setup demo run serve test lint bench compile clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(BIN)/.installed: pyproject.toml constraints.txt
	@"$(PYTHON_FOUND)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "secmlops needs Python 3.11: set PYTHON=/path/to/python3.11" >&2; exit 2; }
	"$(PYTHON_FOUND)" -m venv $(VENV)
	@echo "installing the pinned packages into $(VENV) (a few minutes)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -e '.[all,dev]'
	@touch $@

setup: $(BIN)/.installed ## Make .venv with the pinned packages

demo: setup ## Record traffic, run the pipeline, serve the signed model, attack it
	$(BIN)/python -m pipelines demo

run: setup ## Run a pipeline locally: make run PIPELINE=web_attacks ARGS="captures=my.pcap"
	$(BIN)/python -m pipelines run $(PIPELINE) $(ARGS)

serve: setup ## Serve a signed bundle with KServe: make serve PIPELINE=digits BUNDLE=... TRUSTED_KEY=...
	@test -n "$(BUNDLE)" || { echo "no bundle of $(PIPELINE) under runs/: make run PIPELINE=$(PIPELINE) first, or give BUNDLE and TRUSTED_KEY" >&2; exit 2; }
	$(BIN)/python -m serving.$(PIPELINE) --model_name $(SERVICE) --model_dir $(BUNDLE) \
	  --trusted_key $(TRUSTED_KEY) --http_port $(HTTP_PORT) --grpc_port $(GRPC_PORT)

compile: setup ## Compile all pipelines for Kubeflow into dist/ (YAML and kubectl-ready resources)
	$(BIN)/python -m pipelines compile --out dist --registry $(REGISTRY)

test: setup ## Run all tests
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

lint: setup ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup ## Measure every claim in benchmarks/ and print them beside the named peers
	$(BIN)/python -m benchmarks

clean: ## Remove what runs and builds left behind (not .venv)
	rm -rf runs dist build *.egg-info .pytest_cache .mypy_cache .ruff_cache
