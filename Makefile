# make run                      the demo on a real video; leaves out/demo.mp4 and out/demo.png
# make run ARGS="--camera 0"    the same program with your flags
# make test                     every test but the slow ones
# make test-slow                the others
# make docs                     the guides and the reference as pages: out/docs/index.html; warnings are errors
# make examples                 runs every example and keeps what the pages show of it
# make lock                     renews requirements.lock, which `make run` installs from
# make bench                    every benchmark of speed in one table, in under eight minutes on an idle machine
# make test-tensorrt            builds our networks with TensorRT-RTX; needs no GPU, fetches 95 MB
# make mutate                   changes the code in small ways and runs its tests: about two hours; docs/mutation.md
PYTHON ?= python3
ARGS ?= --demo
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test test-slow test-tensorrt check docs examples bench mutate lock clean

run: $(VENV)/.run
	@$(BIN)/python run_stream.py $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow" -n auto --maxprocesses 4 --dist loadfile

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

test-tensorrt: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-rtx.txt
	$(BIN)/python -m pytest tests/test_tensorrt.py

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# Sphinx refuses links and anchors that lead nowhere, and pages.py those to files of the repository.
docs: $(VENV)/.dev
	@rm -rf out/docs
	$(BIN)/python docs/site/pages.py out/docs-source
	$(BIN)/python -m sphinx -q -W --keep-going -b html out/docs-source out/docs
	@echo "out/docs/index.html"

examples: $(VENV)/.dev
	@rm -rf out/examples && mkdir -p out/examples docs/examples
	@for path in examples/*.py; do name=$$(basename $$path .py); echo $$name; \
		(cd out/examples && PYTHONPATH=../.. ../../$(BIN)/python ../../$$path > $$name.txt) || exit 1; done
	@cp out/examples/*.txt out/examples/*.png out/examples/*.jpg docs/examples/
	@mv docs/examples/hypotheses.png docs/examples/plot_hypotheses.png

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

mutate: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-mutation.txt
	$(BIN)/python -m tests.mutation --write docs/mutation.md

# The stamps are files, so that an unchanged requirements file costs nothing.
$(VENV)/.run: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: Python 3.11 or newer is needed (make run PYTHON=python3.12)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "make: no venv module; on Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@echo "installing what running needs into $(VENV) (about a minute, once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.txt requirements-live.txt requirements-cluster.txt $(VENV)/.run
	@echo "installing what the tests need into $(VENV) (about a minute, once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# For every platform and Python that is supported, with hashes; no address of an index gets into it.
lock: $(VENV)/.dev
	$(BIN)/uv pip compile requirements.txt --output-file requirements.lock --upgrade --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet

clean:
	rm -rf $(VENV) out
