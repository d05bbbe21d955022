PY   ?= python3
BIN  := .venv/bin
UV    = $$(command -v uv || echo $(BIN)/uv)
# test processes side by side; tests of one file stay together, files are handed out in order
WORKERS ?= 2
PYTEST   = $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder --inline-snapshot=disable
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

lock:  ## resolve dependencies again (universal: linux and mac, python 3.11 and newer); -run is what an image needs
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links --no-config --only-binary :all: --group build --group dev pyproject.toml -o requirements.lock
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links --no-config --only-binary :all: -c requirements.lock pyproject.toml -o requirements-run.lock

demo: setup  ## run an offline platform with two planted incidents and watch it
	@$(BIN)/observe demo

check: setup  ## format, lint, import contracts, types, fast tests (five minutes on two cores)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(PYTEST) -m "not slow and not servers and not browser"

ci-deps:  ## Debian's prometheus, alertmanager, chromium, kubectl and gcc, when root and apt are there
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  command -v prometheus >/dev/null && command -v prometheus-alertmanager >/dev/null && command -v chromium >/dev/null || \
	  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends prometheus prometheus-alertmanager chromium; } >/dev/null; \
	  command -v cc >/dev/null || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends gcc libc6-dev; } >/dev/null; \
	  command -v kubectl >/dev/null || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends kubernetes-client; } >/dev/null; \
	else echo "ci-deps: not root or no apt; tests with real servers and the browser skip unless they are installed"; fi

test: setup ci-deps  ## everything, with real servers and a browser
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(PYTEST) --durations 15

verify-samples: setup  ## parse a folder of recorded pages and bodies: make verify-samples SAMPLES=DIR
	@test -n "$(SAMPLES)" || { echo "verify-samples: say where, e.g. make verify-samples SAMPLES=../recorded"; exit 2; }
	$(BIN)/python -m collectors.verify "$(SAMPLES)"
	@for trace in "$(SAMPLES)"/azure-llm-2023/*.csv; do [ ! -f "$$trace" ] || $(BIN)/python -m bench.replay "$$trace"; done

bench: setup  ## measure; results go into bench/RESULTS.md by hand, with date and command
	$(BIN)/python -m bench

clean:  ## remove everything that was made
	rm -rf .venv dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
