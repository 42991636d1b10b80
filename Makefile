# Two commands: `make run` (the main job on real digits) and `make test`. Both make .venv first.
# Needed: Python 3.11 or later and make; uv is used where it is installed. For `make image`: docker, podman or buildah.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

IMAGE ?= unecho:0.1.0
BUILDER ?= $(firstword $(foreach tool,docker podman buildah,$(if $(shell command -v $(tool)),$(tool))))
# Such as --build-arg BASE=... or --build-arg TORCH_INDEX=..., see images/Containerfile.
BUILD_OPTIONS ?=

.PHONY: run test bench lock image image-push clean

run: $(VENV)/run.stamp
	$(BIN)/unecho run --preset digits --variant iet-agc+

test: $(VENV)/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest

bench: $(VENV)/test.stamp
	$(BIN)/python -m tests.benchmarks

$(VENV)/run.stamp: requirements.txt pyproject.toml
	@$(call install,requirements.txt)
	@touch $@

$(VENV)/test.stamp: requirements-test.txt pyproject.toml
	@$(call install,requirements-test.txt)
	@touch $@ $(VENV)/run.stamp

# $(1): the file of pinned packages, hashes checked.
define install
set -e; \
if command -v uv >/dev/null; then \
  test -x $(BIN)/python || uv venv --quiet --python '>=3.11' $(VENV); \
  VIRTUAL_ENV=$(VENV) uv pip install --quiet --require-hashes -r $(1); \
  VIRTUAL_ENV=$(VENV) uv pip install --quiet --no-deps -e .; \
else \
  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Unecho needs Python 3.11 or later")'; \
  test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1); \
  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .; \
fi
endef

# Pin again what pyproject.toml allows: for people, for tests, and for the image. No host of a registry is written.
PIN := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
lock:
	$(PIN) --extra inception --extra classifier --extra kubeflow --extra tracking --extra test -o requirements-test.txt
	$(PIN) --extra inception --extra classifier --extra kubeflow --extra tracking -c requirements-test.txt -o requirements.txt
	$(PIN) --extra inception --extra onnx --extra tracking -c requirements-test.txt -o images/requirements.txt

image:
	@test -n "$(BUILDER)" || { echo 'make image: needs docker, podman or buildah'; exit 2; }
	$(BUILDER) build --file images/Containerfile --tag $(IMAGE) \
	  --build-arg VERSION="$$(git describe --always --dirty 2>/dev/null)" $(BUILD_OPTIONS) .

image-push: image
	$(BUILDER) push $(IMAGE)

clean:
	rm -rf $(VENV) build *.egg-info
