.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PRODUCT := scenestyle engine tasks flows cli training
QUIET := --disable-pip-version-check --quiet
DEBIAN_PACKAGES := libegl1 libgl1 libusb-1.0-0  # what Open3D and PyMeshLab link to
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help system setup check docs test test-all gpu-check demo viewer

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

system:  ## as root, on Debian and Ubuntu, only for nerfstudio's ns-export: what its libraries link to
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(DEBIAN_PACKAGES) > /dev/null

setup: $(INSTALLED)  ## virtual environment in .venv with the exact versions of constraints.txt

$(INSTALLED): constraints.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "error: no '$(PYTHON)' on PATH. Install Python 3.11, or run: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	  echo "error: '$(PYTHON)' is $$($(PYTHON) --version 2>&1), wanted Python 3.11. Run: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@# Debian keeps ensurepip in a package of its own; without it the pip beside $(PYTHON) brings one.
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) > /dev/null || { \
	  $(PYTHON) -m venv --without-pip $(VENV) && \
	  PATH="$${PATH#*:}" $(PYTHON) -m pip --python $(BIN)/python install $(QUIET) pip; }
	@echo "installing into $(VENV): about 9 GB, some minutes"
	@# Two packages in one folder: with the other one goes also what they share.
	@! $(BIN)/python -m pip show --quiet opencv-python 2> /dev/null || \
	  $(BIN)/python -m pip uninstall --quiet --yes opencv-python opencv-python-headless
	@# The list is complete, so nothing is resolved: docs/decisions/installed_set.md
	@$(BIN)/python -m pip install $(QUIET) --no-deps -r constraints.txt
	@$(BIN)/python -m pip install $(QUIET) --no-deps -e .
	@echo "compiling what the first run would else wait for: about a minute"
	@$(BIN)/python -m cli.compile_kernels
	@touch $@

check: setup  ## format, lint, architecture, types, declared dependencies, documentation
	ruff format --check .
	ruff check .
	lint-imports
	basedpyright
	deptry .
	deptry --optional-dependencies-dev-groups dev --ignore DEP002 $(PRODUCT)
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

docs: setup  ## the documentation, on http://127.0.0.1:8000
	NO_MKDOCS_2_WARNING=1 mkdocs serve

test: setup  ## the default tests, one file of them per core at a time
	OMP_NUM_THREADS=1 pytest -n logical --dist loadfile

test-all: setup  ## every test, also the slow ones
	pytest -m "not gpu"

gpu-check: setup  ## on a machine with a GPU: its tests, and SDXL at its true size; within 8 minutes, no network
	HF_HUB_OFFLINE=1 python -m benchmarks.gpu_check

demo: setup  ## restyle the demo scene in both kinds of field, photos to report, and paint a contact sheet of all styles
	dvc repro --glob 'evaluate@demo*'
	dvc repro --single-item overview
	scenestyle preview demo --views 2
	@for report in data/results/demo*/*/report.html; do echo "report: $(CURDIR)/$$report"; done

viewer:  ## bundle the report's 3D viewer anew (needs node and npm)
	cd scenestyle/report/viewer && npm install --no-package-lock --no-audit --no-fund && npm run build
