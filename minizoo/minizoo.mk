# The maker of the mini-Taskonomy. `make minizoo-render` goes on from wherever it was stopped.
# bpy has wheels for Python 3.11 only; MINIZOO_PYTHON names one if python3 is another.
MINIZOO_PYTHON ?= python3.11
MINIZOO_VENV := .cache/minizoo/venv
MINIZOO := $(MINIZOO_VENV)/bin/python -m minizoo
MINIZOO_WORKERS ?= 2
# A stage of learning stops after this long and goes on when called again; 0: when it is done.
MINIZOO_MINUTES ?= 95

.PHONY: minizoo minizoo-train minizoo-transfer minizoo-package
.PHONY: minizoo-setup minizoo-render minizoo-status minizoo-sheets minizoo-tiny minizoo-commit

$(MINIZOO_VENV)/.done: minizoo/requirements.txt
	$(MINIZOO_PYTHON) -m venv $(MINIZOO_VENV)
	$(MINIZOO_VENV)/bin/python -m pip install -q -r minizoo/requirements.txt
	@touch $@

minizoo-setup: $(MINIZOO_VENV)/.done
	$(MINIZOO) fetch

minizoo-render: minizoo-setup
	nice -n 19 $(MINIZOO) render --workers $(MINIZOO_WORKERS)

minizoo-status: $(MINIZOO_VENV)/.done
	$(MINIZOO) status

minizoo-sheets: $(MINIZOO_VENV)/.done
	$(MINIZOO) sheet .cache/minizoo/sheets
	$(MINIZOO) labels .cache/minizoo/sheets/labels.png

minizoo-tiny: minizoo-setup
	$(MINIZOO) render --tiny --workers 2
	$(MINIZOO) status --tiny

# Finished floors only; a committed shard is never written again.
minizoo-commit: minizoo-status
	git add minizoo/views/*.zip
	git diff --cached --quiet -- minizoo/views || git commit -q -m "minizoo: add finished floors" -- minizoo/views

# Learning needs the library's environment, not the renderer's. Each goes on from wherever it was stopped.
minizoo-train: $(VENV)/.dev
	nice -n 15 $(BIN)/python -m minizoo train --minutes $(MINIZOO_MINUTES)

minizoo-transfer: $(VENV)/.dev
	nice -n 15 $(BIN)/python -m minizoo transfer --minutes $(MINIZOO_MINUTES)

minizoo-package: $(VENV)/.dev
	$(BIN)/python -m minizoo scores
	$(BIN)/python -m minizoo package

# Everything from nothing, or from wherever it was stopped: hours of rendering, then hours of learning.
minizoo: minizoo-render
	$(MAKE) MINIZOO_MINUTES=0 minizoo-train
	$(MAKE) MINIZOO_MINUTES=0 minizoo-transfer
	$(MAKE) minizoo-package
