.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEBIAN_PACKAGES := libegl1 libgl1 libglib2.0-0 libgomp1 libusb-1.0-0  # what OpenCV and Open3D link to
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help system setup check docs test test-all demo viewer

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

system:  ## as root, on Debian and Ubuntu: the system libraries that a bare machine lacks
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(DEBIAN_PACKAGES) > /dev/null

setup: $(INSTALLED)  ## virtual environment in .venv with the exact versions of constraints.txt

$(INSTALLED): constraints.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "error: no '$(PYTHON)' on PATH. Install Python 3.11, or run: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	  echo "error: '$(PYTHON)' is $$($(PYTHON) --version 2>&1), wanted Python 3.11. Run: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): about 9 GB, some minutes"
	@$(BIN)/pip install --disable-pip-version-check --quiet "pip>=23.1"  # older ones fail on extras under constraints
	@$(BIN)/pip install --disable-pip-version-check --quiet -c constraints.txt -e ".[dev]"
	@$(BIN)/python -c 'import cv2, open3d' || { \
	  echo "error: OpenCV or Open3D lacks a system library (see above). On Debian and Ubuntu, as root: make system" >&2; exit 1; }
	@touch $@

check: setup  ## format, lint, architecture, types, documentation
	ruff format --check .
	ruff check .
	lint-imports
	basedpyright
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

docs: setup  ## the documentation, on http://127.0.0.1:8000
	NO_MKDOCS_2_WARNING=1 mkdocs serve

test: setup  ## the default tests, one file of them per core at a time
	OMP_NUM_THREADS=1 pytest -n logical --dist loadfile

test-all: setup  ## every test, also the slow ones
	pytest -m "not gpu"

demo: setup  ## restyle the demo scene, photos to report, and paint a contact sheet of all styles
	dvc repro --glob 'evaluate@demo-*'
	dvc repro --single-item overview
	scenestyle preview demo
	@for report in data/results/demo/*/report.html; do echo "report: $(CURDIR)/$$report"; done

viewer:  ## bundle the report's 3D viewer anew (needs node and npm)
	cd scenestyle/report/viewer && npm install --no-package-lock --no-audit --no-fund && npm run build
