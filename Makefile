# Everything runs in .venv, which the first target that needs it sets up.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
DEV_READY := .venv/.dev-ready
PIP_TOOLS := 7.6.2
# Some benchmarks use the helpers of the tests.
WITH_HELPERS := PYTHONPATH=$(CURDIR)/test$${PYTHONPATH:+:$$PYTHONPATH} $(BIN)/python
# The tests of one file run in one process, the long files first; conftest.py has their order.
IN_PARALLEL = -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# More processes than the two cores of a small machine, because many tests wait. With four all
# tests take a tenth less time, but then those with real deadlines compete for the processors.
all-tests: WORKERS := 3
test-unit: WORKERS := 4
PIP := $(BIN)/pip --disable-pip-version-check --quiet
# Python compiles a module when it is first imported; to compile all of TensorFlow takes longer. An
# environment that forbids to keep the result would make the start of each process five times slower.
export PYTHONDONTWRITEBYTECODE :=
INSTALL := $(PIP) install --no-compile --require-hashes

.PHONY: docs drive test all-tests test-unit venv lint laps bench bench-gym bench-training waterfall faults fuzz attack watching \
  soak fleet worlds scale lock clean help

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

drive: $(READY) ## Drive the embedded simulator; Ctrl-C ends it. Options: ARGS="--laps 2"
	@$(BIN)/sim-bridge drive $(ARGS)

test: $(DEV_READY) ## Check style and types, run all tests but the minutes-long ones of `make faults`
	@$(MAKE) --no-print-directory --jobs 2 lint all-tests

all-tests: $(DEV_READY)
	@$(BIN)/python -m pytest $(IN_PARALLEL) $(ARGS)

test-unit: $(DEV_READY) ## Run the quick tests of single modules: a minute
	@$(BIN)/python -m pytest $(IN_PARALLEL) -m 'not (faults or real_time or slow)' \
	  test/sim_bridge test/steering_net $(ARGS)

venv: $(DEV_READY) ## Set up the environment, for driving and for development

lint: $(DEV_READY) ## Check style and types
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary

faults: $(DEV_READY) ## Kill, freeze, confuse and attack whole graphs, with measured times
	@$(BIN)/python -m pytest -m '' -rP \
	  test/integration/test_faults.py test/integration/test_hardening.py test/integration/test_graph.py \
	  test/integration/test_hold.py test/integration/test_controls.py test/integration/test_time.py \
	  test/integration/test_page_drive.py test/integration/test_foxglove.py \
	  test/integration/test_shared_cars.py $(ARGS)

fuzz: $(DEV_READY) ## Fuzz the wire. Options: N=1000000 ARGS="--seed 2"
	@$(WITH_HELPERS) -m helpers.fuzz_wire --inputs $(or $(N),100000) $(ARGS)

attack: $(DEV_READY) ## Attack a driving car and count the deadlines it misses, beside peace
	@$(WITH_HELPERS) benchmarks/attack.py $(ARGS)

watching: $(DEV_READY) ## What open pages, Foxglove and a recording cost the drive, beside none
	@$(WITH_HELPERS) benchmarks/watching.py $(ARGS)

soak: $(DEV_READY) ## Drive for an hour and fail on whatever grows. Options: MINUTES=60
	@$(WITH_HELPERS) benchmarks/soak.py --minutes $(or $(MINUTES),60) $(ARGS)

worlds: $(READY) ## Measure frames/s of each kind of embedded track, beside flat ones
	@$(BIN)/python benchmarks/worlds.py $(ARGS)

bench-gym: $(DEV_READY) ## Measure steps/s of the Gymnasium environment on each kind of track
	@$(BIN)/python benchmarks/environment.py $(ARGS)

fleet: $(DEV_READY) ## Drive 1, 2, 4, 8 and 16 cars at once and print the table. Options: ARGS="--seconds 30"
	@$(WITH_HELPERS) benchmarks/fleet.py $(ARGS)

scale: $(DEV_READY) ## Tracks driven per second by 1 worker and by 2. Options: ARGS="--ray"
	@$(WITH_HELPERS) benchmarks/scale.py $(ARGS)

laps: $(READY) ## Drive ten unseen tracks at two speed limits and print the table
	@$(BIN)/python benchmarks/laps.py $(ARGS)

bench: $(READY) ## Measure against drive.py and the bare network. Options: ARGS="--only latency"
	@$(BIN)/python benchmarks/bench.py $(ARGS)

bench-training: $(READY) ## Time two epochs of `train` and of plain Keras: images/s of each
	@$(BIN)/python benchmarks/training.py $(ARGS)

waterfall: $(READY) ## Say where every 0.1 ms of an answer goes
	@$(BIN)/python benchmarks/waterfall.py --png docs/images/waterfall.png $(ARGS)

docs: $(READY) ## Build the documentation into build/site
	@$(PIP) install -r requirements/docs.txt
	@$(BIN)/python docs/make_reference.py
	@$(BIN)/python -m mkdocs build --strict --quiet

lock: ## Write requirements/*.txt with versions and hashes of all that requirements/*.in lead to
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo 'the oldest Python decides what all can use: make PYTHON=python3.11 lock'; exit 2; }
	@$(PYTHON) -m venv build/lock
	@build/lock/bin/pip --disable-pip-version-check --quiet install pip-tools==$(PIP_TOOLS)
	@cd requirements && for name in pypi dev; do CUSTOM_COMPILE_COMMAND='make lock' \
	  ../build/lock/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	  --no-annotate --no-emit-find-links --no-emit-index-url --no-emit-options \
	  --output-file $$name.txt $$name.in || exit; done

clean: ## Remove what was built, the environment included
	rm -rf .venv build install log

$(READY): requirements/pypi.txt setup.py setup.cfg
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || \
	  { echo 'sim_bridge needs Python 3.11 to 3.13; try: make PYTHON=python3.11 $(MAKECMDGOALS)'; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] == (3, 14))' || \
	  echo 'Python 3.14 is not tested. If pip finds no package for it: make PYTHON=python3.13 $(MAKECMDGOALS)'
	@echo 'Setting up .venv: one to two minutes, once.'
	@$(PYTHON) -m venv .venv
	@$(INSTALL) -r requirements/pypi.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_READY): $(READY) requirements/dev.txt
	@# TensorFlow is compiled meanwhile, because each parallel process of the tests would compile it.
	@$(BIN)/python -c 'from steering_net.inference.predictor import load_predictor as load; load(backend="keras")' & \
	  compiling=$$!; $(INSTALL) -r requirements/dev.txt && wait $$compiling
	@touch $@
