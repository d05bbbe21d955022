PY   ?= python3
BIN  := .venv/bin
UV    = $$(command -v uv || echo $(BIN)/uv)
export DO_NOT_TRACK := 1
.DEFAULT_GOAL := help
.PHONY: help setup demo check test ci-deps bench verify-samples clean lock

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

setup: .venv/.ready  ## make .venv from requirements.lock (versions and hashes)
.venv/.ready: requirements.lock pyproject.toml
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "setup: python3 >= 3.11 is needed; use make PY=/path/to/python3.11"; exit 1; }
	@$(PY) -m venv .venv || { echo "setup: python3 has no venv; Debian: apt-get install python3-venv"; exit 1; }
	@echo "setup: installing exact versions from requirements.lock (log: .venv/setup.log)"
	@{ command -v uv >/dev/null || $(BIN)/python -m pip install -q uv || true; \
	   $(UV) pip install -q --python $(BIN)/python --require-hashes --no-deps -r requirements.lock \
	     || $(BIN)/python -m pip install -q --require-hashes --no-deps -r requirements.lock; } >.venv/setup.log 2>&1 \
	   && $(BIN)/python -m pip install -q --no-deps --no-build-isolation --no-index -e . >>.venv/setup.log 2>&1 \
	   || { cat .venv/setup.log; exit 1; }
	@touch $@

lock:  ## resolve dependencies again (universal: linux and mac, python 3.11 and newer)
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links --no-config --only-binary :all: --group build --group dev pyproject.toml -o requirements.lock
