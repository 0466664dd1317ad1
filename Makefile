# make demo · test · lint — each works in a new clone. Only git, make and Python are needed.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO := core plugins/classification plugins/detection plugins/efficientnet_lite
PYPROJECTS := $(wildcard core/pyproject.toml plugins/*/pyproject.toml)
# One test worker per core, each with one thread: more would compete for the cores.
WORKERS ?= $(shell $(PYTHON) -c "import os; print(len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count())")
PYTEST  := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.PHONY: demo site docs test test-all test-cuda test-clients test-engines test-plugins test-serving test-site coverage fuzz security lint types format bench ledger wheels clean

demo: $(VENV)/.packages
	@rm -rf out/demo
	$(BIN)/zoo predict examples/images/photos --model efficientnet_lite0 --top 3 --output out/demo
	@echo
	@echo "Three photographs, classified with ImageNet weights; the drawn results are in out/demo. Next, try"
	@echo "  $(BIN)/zoo predict YOUR.jpg --model efficientnet_lite0"
	@echo "  $(BIN)/zoo predict examples/images/shapes.png --model ssdlite320_mobilenet_v3_large --weights SHAPES_V1"
	@echo "  $(BIN)/zoo list --task image-classification"
	@echo "and then the first program in the README."

# The documentation with the catalogue of all packages of this repository: out/site/index.html. zoo-timm and
# zoo-transformers are listed without their libraries, which are not installed.
site: docs
	rm -rf out/site/catalogue
	ZOO_OFFLINE=1 HF_HUB_OFFLINE=1 .venv-site/bin/zoo catalogue build out/site/catalogue --measurements measurements --stages --docs ../index.html $(PICTURES)

PICTURES := --picture image-classification=examples/images/photos/coffee.jpg \
  --picture squeezenet1_1.DIGITS_V1=examples/images/digits/digit_7.png \
  --picture quantized_shufflenet_v2_x0_5.DIGITS_V1=examples/images/digits/digit_7.png \
  --picture object-detection=examples/images/shapes.png \
  --picture semantic-segmentation=examples/images/shapes.png \
  --picture video-classification=examples/videos/moving_shapes.gif \
  --picture optical-flow=examples/images/flow/frame1.png,examples/images/flow/frame2.png

docs: .venv-site/.packages
	.venv-site/bin/python -m sphinx -q -E --fail-on-warning --keep-going -b html docs out/site

# Pages in headless Chromium, which is searched for, or given by CHROMIUM.
test-site: .venv-site/.packages site
	ZOO_BUILT_SITE=out/site .venv-site/bin/python -m pytest tests/site tests/tools/test_catalogue.py -m "slow or not slow"

test: $(VENV)/.tools
	$(PYTEST)

test-all: $(VENV)/.tools
	$(PYTEST) -m "slow or not slow"

# All tests again on a machine with a GPU, which pipelines, evaluation and training then use by default; and tests that
# need a GPU.
test-cuda: $(VENV)/.tools
	OMP_NUM_THREADS=2 $(BIN)/python -m pytest -n 6 --dist worksteal tests/cuda tests/core/ops -m "slow or not slow"
	$(PYTEST) --ignore tests/cuda --ignore tests/packaging

# Third-party programs with their packages, in separate environments: torchvision is never in the default one.
test-clients: .venv-clients/.packages .venv-fastai/.packages
	.venv-clients/bin/python -m pytest tests/clients -m "slow or not slow"
	.venv-fastai/bin/python -m pytest tests/clients/test_fastai_programs.py -m "slow or not slow"

# Plugins for third-party models, in a separate environment: their libraries install torchvision, and they have thousands
# of names; and zoo-serving in another.
test-plugins: .venv-plugins/.packages
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 .venv-plugins/bin/python -m pytest -n $(WORKERS) --dist worksteal \
	  $(wildcard tests/timm_plugin tests/hub_models) -m "$(if $(SLOW),slow or )not slow"
	$(MAKE) test-serving

# Engines and quantization, which the default environment does not have.
test-engines: .venv-engines/.packages
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive .venv-engines/bin/python -m pytest -n $(WORKERS) --dist worksteal \
	  $(patsubst %,tests/tools/test_%.py,benchmarking engines exported matrix quantizing) tests/core/test_engines.py \
	  tests/detection/test_export_sizes.py -m "slow or not slow"

# A server, a browser if available, and a local Ray cluster, which the default suite skips: one test at a time, since
# each starts its own processes. `make test-serving SLOW=1` includes the slow ones.
test-serving: .venv-serving/.packages
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OMP_WAIT_POLICY=passive .venv-serving/bin/python -m pytest tests/serving \
	  tests/core/test_shards.py tests/core/test_batch_predictor.py tests/tools/test_merging.py \
	  tests/integration/test_scale_guide.py -m "$(if $(SLOW),slow or )not slow"

# Coverage of the default suite, with branches, one line per package; uncovered lines and branches are in
# out/coverage.txt, and as pages in out/coverage/.
coverage: $(VENV)/.tools
	$(BIN)/coverage erase
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/coverage run -m pytest -n $(WORKERS) --dist worksteal --timeout 900
	$(BIN)/coverage combine --quiet
	$(BIN)/python scripts/coverage_table.py

# Updates the table of hostile cases in docs/security.md.
security: $(VENV)/.tools
	$(BIN)/python scripts/security_table.py

# Damaged files and unusual responses: one minute per kind, with a new seed each time. The suite has one second of each.
fuzz: $(VENV)/.tools
	ZOO_FUZZ_SECONDS=$${ZOO_FUZZ_SECONDS:-60} ZOO_FUZZ_SEED=$${ZOO_FUZZ_SEED:-$$(date +%s)000} $(PYTEST) tests/fuzz

lint: $(VENV)/.tools
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.tools
	$(BIN)/mypy

format: $(VENV)/.tools
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# All benchmarks, then the tables of docs/benchmarks.md; exit status 1 if a target is missed or a script fails.
bench: $(VENV)/.tools .venv-serving/.packages
	@failed=; for script in $(filter-out %/harness.py,$(wildcard benchmarks/*.py)); do \
	  case $$script in */serving.py|*/cluster.py) python=.venv-serving/bin/python;; *) python=$(BIN)/python;; esac; \
	  echo "== $$script"; $$python $$script || failed="$$failed $$script"; done; \
	$(BIN)/python scripts/benchmark_tables.py; \
	if [ -n "$$failed" ]; then echo "Missed a target, or failed:$$failed"; exit 1; fi

# All wheels, in dist/, with checked metadata.
wheels: $(VENV)/.tools
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist $(patsubst %/pyproject.toml,./%,$(PYPROJECTS))
	$(BIN)/twine check --strict dist/*.whl

# Adds new names of models and weights to docs/ledger.txt.
ledger: $(VENV)/.tools
	$(BIN)/python scripts/ledger.py

clean:
	rm -rf $(VENV) dist .venv-clients .venv-engines .venv-fastai .venv-plugins .venv-serving .venv-site out docs/reference/generated .mypy_cache .pytest_cache .ruff_cache

# The environment; created if it does not exist, updated if its requirements have changed.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.packages: requirements-dev.txt $(PYPROJECTS) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' requirements-dev.txt) $(addprefix -e ./,$(DEMO))
	@touch $@

$(VENV)/.tools: requirements-dev.txt $(PYPROJECTS) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/.packages

.venv-clients/.packages .venv-engines/.packages .venv-fastai/.packages .venv-plugins/.packages .venv-serving/.packages .venv-site/.packages: .venv-%/.packages: requirements-%.txt requirements-dev.txt $(PYPROJECTS)
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' requirements-dev.txt) -r requirements-$*.txt
	$(if $(filter site,$*),.venv-site/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e ./plugins/timm -e ./plugins/transformers)
	@touch $@
