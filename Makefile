# Everything a developer runs, by name. `make train` and `make test` are all a newcomer needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
QUICK  := tests/recipe tests/test_cli.py tests/test_api.py tests/run tests/rf tests/models/test_contract.py tests/training/test_loop.py tests/export/test_onnx.py

.DEFAULT_GOAL := help

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(READY)  ## create .venv with the pinned requirements

train: $(READY)  ## the main job: train the quickstart recipe on embedded data
	$(BIN)/dpdrun train recipes/quickstart.yaml

auto: $(READY)  ## a predistorter from an embedded capture, in one command (three minutes)
	$(BIN)/dpdrun auto synthetic/hard --budget parameters=500 --minutes 2 --fixed 14 -o runs/auto

# One thread for each process: two that share a core wait for each other. Bytecode, or each `dpdrun` compiles the package.
test: $(READY)  ## all tests but the slow ones, in up to four processes
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m 'not slow' --numprocesses auto --maxprocesses 4 --dist loadfile

test-machines: $(READY)  ## the tests as on other machines: 1, 2, 4 threads; instructions default, avx2, native; 3 seeds; a busy core (half an hour)
	$(BIN)/python tests/machines.py

lower-bounds:  ## the quick tests with exactly the lower bounds of pyproject.toml (on Linux a torch of 3 GB; needs Python 3.11)
	mkdir -p build
	$(PYTHON) tests/lower_bounds.py > build/lower-bounds.txt
	$(PYTHON) -m venv build/lower-bounds
	build/lower-bounds/bin/python -m pip install --quiet -r build/lower-bounds.txt
	build/lower-bounds/bin/python -m pytest -q -p no:cacheprovider -W ignore::DeprecationWarning $(QUICK)

test-slow: $(READY)  ## the slow tests
	$(BIN)/python -m pytest -m slow

.PHONY: fuzz
fuzz: $(READY)  ## fuzz every reader of files from others, an hour each (SECONDS=60 for a short one); crashes become tests
	$(BIN)/python -m pip install --quiet -c constraints.txt atheris
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),3600)

lock: $(READY)  ## rewrite requirements.lock: what the image installs, with hashes; torch is left to its base (minutes)
	mkdir -p build
	$(BIN)/python -m pip install --quiet -c constraints.txt pip-tools
	$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --extra plots --extra sweep \
		--build-deps-for wheel -c constraints.txt --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
		-o build/requirements.lock pyproject.toml
	awk 'BEGIN {print "# what the image installs but for torch, with hashes (make lock)"} \
		/^[a-z]/ {keep = !/^(torch|triton|nvidia|cuda)/} keep && /^[a-z ]/' build/requirements.lock > requirements.lock

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

check: lint types test  ## what CI runs: lint, format, types, tests

fix: $(READY)  ## apply lint fixes and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)  ## regenerate docs/recipe.md, docs/recipe.schema.json, docs/api.md, docs/json.md, docs/schemas and docs/rules/
	$(BIN)/python -m dpdrun.recipe.reference
	$(BIN)/python -m dpdrun.api.reference
	$(BIN)/python -m dpdrun.report.json_schema
	$(BIN)/python -m dpdrun.rules.pages

site: $(READY)  ## build the documentation into build/site; a link or anchor that leads nowhere is an error
	$(BIN)/python -m mkdocs build --strict --quiet

golden-lists: $(READY)  ## rewrite tests/golden: commands and flags, recipe fields, JSON keys, Python names
	UPDATE_GOLDEN=1 $(BIN)/python -m pytest -q tests/commands/test_public_surface.py

results: $(READY)  ## study: what the shipped recipes reach, three seeds (about an hour)
	$(BIN)/python -m benchmarks.recipes.run

case-study: $(READY)  ## study: from the failed Transformer to ours, one change at a time (about an hour)
	$(BIN)/python -m benchmarks.case_study.run

closed-loop: $(READY)  ## study: diagnose --fix --rerun from the failed recipe until nothing is left (about an hour)
	$(BIN)/python -m benchmarks.case_study.closed_loop

learning-rate: $(READY)  ## study: learning rate against width (about half an hour)
	$(BIN)/python -m benchmarks.learning_rate.run

regret: $(READY)  ## study: how far each advisor's learning rate is from the best (seven hours of a core; resumable)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[studies]'
	$(BIN)/python -m benchmarks.regret.run

worth: $(READY)  ## study: what each rule is worth in dB (an hour of a core; resumable, after regret)
	$(BIN)/python -m benchmarks.regret.worth
	$(BIN)/python -m benchmarks.regret.run --only-tables

pathbench: $(READY)  ## study: which faults diagnose names, and false alarms (four hours of a busy core; resumable)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[studies]'
	$(BIN)/python -m benchmarks.pathbench.run

public-logs: $(READY)  ## study: is diagnose right about training logs that other people published (a minute)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[studies]'
	$(BIN)/python -m benchmarks.public_logs.run

diagnose-speed: $(READY)  ## study: time and memory of diagnosing a log of 100,000 steps (a minute)
	$(BIN)/python -m benchmarks.speed.diagnose

.PHONY: c-instructions
c-instructions: $(READY)  ## study: instructions a sample of the exported C, counted by valgrind (a minute; needs gcc and valgrind)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.speed.c_instructions

apply-speed: $(READY)  ## study: time and memory of applying a model to 10 million samples (two minutes)
	$(BIN)/python -m benchmarks.speed.apply

c-speed: $(READY)  ## study: samples a second of the exported C, against onnxruntime and TorchScript (a minute; needs gcc)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.speed.c_code

speed: $(READY)  ## study: time to a score, against OpenDPD's own training step (about 10 minutes)
	$(BIN)/python -m benchmarks.speed.run

probe: $(READY)  ## study: what `dpdrun probe` picks, against the sweep over the learning rate (about 5 minutes)
	$(BIN)/python -m benchmarks.probe.run

effort: $(READY)  ## study: how far off the estimated time and memory of a plan are (about 8 minutes)
	$(BIN)/python -m benchmarks.effort.whole
	$(BIN)/python -m benchmarks.effort.run
	$(BIN)/python -m benchmarks.effort.fit
	$(BIN)/python -m benchmarks.effort.through

ranks: $(READY)  ## study: which faults between processes diagnose names, and false alarms (ten minutes)
	$(BIN)/python -m benchmarks.ranks.run

monitoring: $(READY)  ## study: what monitoring costs (a minute)
	$(BIN)/python -m benchmarks.speed.monitoring

threads: $(READY)  ## study: threads of auto against torch's default and one, idle and with a core taken (five minutes; wants a quiet machine)
	$(BIN)/python -m benchmarks.threads.run

scale: $(READY)  ## study: what several processes bring, and what a launcher costs (10 minutes; wants a quiet machine)
	$(BIN)/python -m benchmarks.scale.run

golden: $(READY)  ## study: our scores against OpenDPD's own functions on its own data (a minute)
	$(BIN)/python -m benchmarks.golden.run

arena-env: $(READY)  ## the environment of the judge: opendpd 2.4.2 beside our packages (seconds)
	$(BIN)/python -m benchmarks.arena.install

.PHONY: backbones
backbones: arena-env  ## study: attention, state space, convolution and recurrence in one training loop (an hour of a core; resumable)
	OMP_NUM_THREADS=1 build/arena-env/bin/python -m benchmarks.backbones.run

arena-train: arena-env  ## study: train the predistorters of benchmarks/arena/models (an hour of a core)
	OMP_NUM_THREADS=1 build/arena-env/bin/python -m benchmarks.arena.train

arena-judge: arena-env  ## judge the predistorters of benchmarks/arena/models with OpenDPD's own code; table in docs/results.md (minutes)
	build/arena-env/bin/python -m benchmarks.arena.judge

.PHONY: board
board: arena-env  ## score the models of benchmarks/board again; tables in docs/results.md (minutes; ARGS=--again for all)
	OMP_NUM_THREADS=1 build/arena-env/bin/python -m benchmarks.board.run $(ARGS)

fixed-point: arena-env  ## study: what fixed point costs, 16 to 8 bits, before and after fine-tuning, by the Arena's judge (10 minutes of a core; resumable)
	OMP_NUM_THREADS=1 build/arena-env/bin/python -m benchmarks.fixed_point.run

.PHONY: hard-functions
hard-functions: $(READY)  ## study: what softmax, GELU and LayerNorm are worth in dB (10 minutes of a core; resumable)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.fixed_point.functions

dpd-loss: $(READY)  ## study: a loss over the spectrum for a small predistorter (20 minutes of a core; resumable)
	$(BIN)/python -m benchmarks.dpd_loss.run

alignment: $(READY)  ## study: flawed records, aligned; and what alignment costs sound ones (10 minutes of a core; resumable)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.alignment.run

.PHONY: sweep-overhead search-gain vectorize fronts
sweep-overhead: $(READY)  ## study: what a sweep of short runs costs next to a shell loop (three minutes)
	$(BIN)/python -m benchmarks.sweep.run

.PHONY: gpu-check
gpu-check: $(READY)  ## on a machine with a GPU: its tests, then samples a second by precision, eager and compiled (minutes; resumable)
	$(BIN)/python -m benchmarks.gpu.run

vectorize: $(READY)  ## study: models of several seeds in one process, stacked, against one after the other (a minute)
	$(BIN)/python -m benchmarks.sweep.vectorize

search-gain: $(READY)  ## study: what a search gains over the rules on six captures (an hour of a core; resumable)
	$(BIN)/python -m benchmarks.sweep.search

fronts: $(READY)  ## study: NMSE against parameters and MAC/sample, four kinds, two captures (half an hour of a core; resumable)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[plots]'
	$(BIN)/python -m benchmarks.sweep.fronts

warm-start: $(READY)  ## study: what starting from a run on another capture saves (two minutes of a core; resumable)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.warm_start.run

tutorials: $(READY)  ## execute the notebooks of docs/tutorials again (a minute)
	$(BIN)/python docs/tutorials/execute.py

pictures: $(READY)  ## redraw the pictures of the README from real runs
	$(BIN)/python -m benchmarks.pictures

clean:  ## remove what these commands made, except runs/
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

dpa-dpd: $(READY)  ## study: predistorters of the DPA captures under OpenDPD's legacy scores (an hour; ARGS: captures, --seeds)
	$(BIN)/python -m benchmarks.dpa_dpd.run $(ARGS)

.PHONY: auto-study auto-judges refine-samples loop-study
auto-study: $(READY)  ## study: what `dpdrun auto` reaches, by minutes and parameters (hours; ARGS: captures, --minutes, --parameters, --by-hand)
	$(BIN)/python -m benchmarks.auto.run $(ARGS)

auto-judges: $(READY)  ## study: which PA model foretells a known amplifier best (five minutes; ARGS: presets)
	$(BIN)/python -m benchmarks.auto.judges $(ARGS)

refine-samples: $(READY)  ## study: how many samples a Levenberg-Marquardt refinement needs (ten minutes; ARGS: samples for each parameter, --iterations)
	$(BIN)/python -m benchmarks.auto.samples $(ARGS)

loop-study: $(READY)  ## study: `dpdrun loop` on a virtual bench, by ILC and by predistorters trained in each round (ten minutes; ARGS: methods, --rounds)
	$(BIN)/python -m benchmarks.loop.run $(ARGS)

.PHONY: lock help setup train auto test test-machines lower-bounds test-slow lint types check fix docs site golden-lists results case-study closed-loop learning-rate regret worth pathbench public-logs diagnose-speed apply-speed c-speed speed probe effort ranks monitoring threads scale golden arena-env arena-train arena-judge fixed-point dpd-loss dpa-dpd alignment warm-start tutorials pictures clean
