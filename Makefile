# Everything a contributor or a new user needs; `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Debian and Ubuntu keep the venv module in a package of its own.
VENV_PACKAGE = $$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
AS_ROOT = $$(test $$(id -u) = 0 || echo sudo -n)
INSTALL_VENV = { echo "installing $(VENV_PACKAGE)" && $(AS_ROOT) apt-get update -qq && \
	$(AS_ROOT) apt-get install -y -qq --no-install-recommends $(VENV_PACKAGE); } >&2

.DEFAULT_GOAL := help
.PHONY: help search test test-slow test-all lint format golden benchmarks gallery wheel images \
	image-cpu image-cuda e2e e2e-given clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

search: $(STAMP)  ## Evolve optimizers here: sets up, searches for minutes, prints a table and a report
	$(BIN)/evoptim search

test: $(STAMP)  ## Run the default tests (minutes), one process a core
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

test-slow: $(STAMP)  ## Run the slow tests only
	$(BIN)/pytest -m slow -n auto --dist loadfile --no-loadscope-reorder

test-all: $(STAMP)  ## Run every test
	$(BIN)/pytest -m ''

lint: $(STAMP)  ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

golden: $(STAMP)  ## Refresh the golden pipeline after a deliberate change
	EVOPTIM_REFRESH_GOLDEN=1 $(BIN)/pytest -q tests/golden/test_pipeline.py

benchmarks: $(STAMP)  ## Print the speeds that the README states
	$(BIN)/python benchmarks/integrity.py
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/step_time.py
	$(BIN)/python benchmarks/scale.py --candidates 10 100 1000 10000
	$(BIN)/python benchmarks/store.py

gallery: $(STAMP)  ## Write the pages of docs/zoo again
	cd docs && ../$(BIN)/python -m gallery

wheel: $(STAMP)  ## Build the wheel into dist/
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

DOCKER ?= docker
IMAGE ?= evoptim:dev
IMAGE_ARGS ?=
BUILD_IMAGE = DOCKER_BUILDKIT=1 $(DOCKER) build --file images/worker/Dockerfile \
	--build-arg VERSION=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) \
	--build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) $(IMAGE_ARGS)

images: image-cpu image-cuda  ## Build the container images: evoptim:dev and, for GPUs, evoptim:dev-cuda

image-cpu:
	$(BUILD_IMAGE) --tag $(IMAGE) .

image-cuda:
	$(BUILD_IMAGE) --build-arg TORCH_INDEX= --tag $(IMAGE)-cuda .

NAMESPACE ?= evoptim-e2e
e2e-given:
	@test -n "$(KUBECONFIG)" || { echo "make e2e needs KUBECONFIG=..., of an administrator of a cluster" \
		"whose nodes have, or can pull, IMAGE=$(IMAGE): see docs/cluster.md" >&2; exit 2; }

e2e: e2e-given $(STAMP)  ## Test a cluster: KUBECONFIG=... IMAGE=... NAMESPACE=... [STORE=s3://...] [KFP_ENDPOINT=...]
	KUBECONFIG="$(KUBECONFIG)" IMAGE="$(IMAGE)" NAMESPACE="$(NAMESPACE)" STORE="$(STORE)" \
		KFP_ENDPOINT="$(KFP_ENDPOINT)" $(BIN)/pytest -v -rs -m cluster tests/e2e/cluster

clean:  ## Remove what was built; runs stay
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The tested set of versions is pinned in constraints.txt.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "evoptim needs Python 3.10 or newer, $(PYTHON) is $$($(PYTHON) -V): set PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(INSTALL_VENV) || \
		{ echo "Python's venv module is missing: apt-get install $(VENV_PACKAGE)" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): the first time takes minutes, most of them for torch"
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@
