# make demo: the main job on embedded text.  make test: the tests.  Both set up what they need in .venv.
# Another interpreter: make test PYTHON=python3.12
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: demo test slow lint setup clean

demo: setup
	$(BIN)/python -m experiments.demo

test: setup
	$(BIN)/python -m pytest -n 2 -q

slow: setup
	$(BIN)/python -m pytest -n 2 -q -m slow

lint: setup
	$(BIN)/ruff check .

setup: $(READY)

# made anew when the requirements or the interpreter change
$(READY): pyproject.toml constraints.txt $(VENV)/.python-$(notdir $(PYTHON))
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

$(VENV)/.python-$(notdir $(PYTHON)):
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	touch $@

clean:
	rm -rf $(VENV) runs build dist *.egg-info
