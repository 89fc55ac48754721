# `make demo` and `make test` do all the set-up they need. Everything goes into .venv in this folder.
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo-atlas
PHOTOS ?= demo-photos
# Of `make test`, a thread each; a process takes up to 4 GB.
PROCESSES ?= 2

.PHONY: help setup demo demo-photos test test-all lint format bench bench-published architectures docs clean

help:
	@echo "make demo      chart twenty networks on rendered rooms, compare with measured transfers"
	@echo "make demo-photos   chart real pretrained networks on real photographs (downloads 140 MB)"
	@echo "make test      run the tests          make test-all   the slow ones too"
	@echo "make lint      ruff, types, imports   make bench      measure the engine"
	@echo "make architectures   attribute every family, write docs/architectures.md"
	@echo "make docs      the pages as a site in site/"
	@echo "make minizoo   make what is missing of the rooms, the twenty networks and their transfers (hours)"

$(VENV)/.demo: pyproject.toml mini-data/pyproject.toml constraints.txt tools/setup.sh
	VENV=$(VENV) tools/setup.sh all
	@touch $@

$(VENV)/.dev: pyproject.toml mini-data/pyproject.toml constraints.txt tools/setup.sh
	VENV=$(VENV) tools/setup.sh dev
	@touch $@ $(VENV)/.demo

setup: $(VENV)/.dev

# All of it is installed: no network.
demo: $(VENV)/.demo
	$(BIN)/modelatlas chart mini --probe rooms --images 200 --out $(DEMO)
	@for method in saliency gradient-x-input epsilon-lrp; do \
	  $(BIN)/modelatlas evaluate --in $(DEMO) --method $$method --reference mini || exit; \
	done
	@echo "report: $(DEMO)/report.html"

demo-photos: $(VENV)/.demo
	$(BIN)/modelatlas chart demo --probe photos --images 60 --out $(PHOTOS)

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n $(PROCESSES) --dist loadfile --no-loadscope-reorder

test-all: $(VENV)/.dev
	$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/bench_attribution.py

bench-published: $(VENV)/.dev
	$(BIN)/python benchmarks/bench_published.py
	$(BIN)/python benchmarks/bench_published.py --precision bf16

architectures: $(VENV)/.dev
	$(BIN)/python benchmarks/architectures.py

docs: $(VENV)/.dev
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[docs]"
	$(BIN)/mkdocs build --strict --site-dir site

# Spares .cache/minizoo: hours of rendering and training.
clean:
	[ ! -d .cache ] || find .cache -mindepth 1 -maxdepth 1 ! -name minizoo -exec rm -rf {} +
	rm -rf $(VENV) $(DEMO) $(PHOTOS) .mypy_cache .ruff_cache .pytest_cache build dist

-include minizoo/minizoo.mk
