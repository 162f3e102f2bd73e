# What people and CI run. Everything is installed into .venv from setup.cfg; nothing else is needed
# than Python 3.10 to 3.13 with venv, and make.

PYTHON ?= python3
COMPOSE ?= $(shell docker compose version > /dev/null 2>&1 && echo docker compose || echo docker-compose)
# As Compose reads them, from the environment or .env. One of them names the model server.
comma := ,
PROFILES = $(or $(COMPOSE_PROFILES),$(shell sed -n 's/^COMPOSE_PROFILES=//p' .env))
SERVER = $(filter tensorflow-serving embedded,$(subst $(comma), ,$(PROFILES)))
OTHER_SERVER = $(if $(filter embedded,$(SERVER)),model-server,embedded-model-server)
# Most tests wait for processes: three files of tests at a time keep two cores busy, the longest first.
PYTEST_FLAGS ?= --numprocesses 3 --dist loadfile --no-loadscope-reorder
VENV   := .venv
BIN    := $(VENV)/bin
VERSION = $(shell sed -n 's/^version = //p' setup.cfg)
# The image that holds everything is simply `scenery`.
IMAGE   = $(patsubst scenery-all-in-one,scenery,scenery-$*):$(VERSION)

# Looks the package up anew only if it is not found as it is known.
APT      := DEBIAN_FRONTEND=noninteractive timeout 600 apt-get -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=30
CHROMIUM := { $(APT) install --yes --no-install-recommends chromium || \
              { $(APT) update && $(APT) install --yes --no-install-recommends chromium; }; }

.DEFAULT_GOAL := help
.PHONY: help serve up down images locks deploy-check train test check format lint types imports tests browser conformance docs bench clean

help: ## List these commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

serve: $(VENV)/for-serving ## Run the model server and the proxy on this machine (Ctrl-C stops both)
	@exec $(BIN)/scenery serve $(SERVE_FLAGS)

up: ## The same on Docker Compose, with tensorflow/serving
	@$(COMPOSE) version > /dev/null || { \
	  echo "There is no Docker Compose. Install Docker with its Compose plugin, or run: make serve"; exit 1; }
	@test $(words $(SERVER)) = 1 || { \
	  echo "COMPOSE_PROFILES names one model server: tensorflow-serving, or embedded. Received: '$(PROFILES)'"; exit 1; }
	@COMPOSE_PROFILES=tensorflow-serving,embedded $(COMPOSE) rm --stop --force $(OTHER_SERVER) > /dev/null 2>&1
	$(COMPOSE) up --build --detach
	@address=http://$$($(COMPOSE) port proxy 8080); for second in $$(seq 120); do \
	  curl -sf --noproxy '*' --output /dev/null $$address/readyz && echo "Scenery is ready: $$address" && \
	    curl -s --noproxy '*' -H 'Content-Type: image/jpeg' --data-binary @examples/sample.jpg $$address/v1/classify && \
	    echo && exit 0; sleep 1; \
	done; echo "Scenery is not ready after 120 s. See: $(COMPOSE) logs"; exit 1

down: ## Stop what `make up` started, the proxy first: what it has accepted is answered
	$(COMPOSE) stop proxy
	COMPOSE_PROFILES=tensorflow-serving,embedded,monitoring $(COMPOSE) down

images: image-proxy image-model-server image-all-in-one image-tools ## Build every image; `make image-proxy` and its like build one

image-%:
	docker build $(DOCKER_BUILD_FLAGS) --file deploy/docker/$*.Dockerfile --tag $(IMAGE) \
	  --label org.opencontainers.image.version=$(VERSION) \
	  --label org.opencontainers.image.revision="$$(git rev-parse HEAD 2> /dev/null)" .

locks: $(VENV)/for-development ## Solve anew what the images install
	$(BIN)/python -m pip install --quiet uv
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python scripts/image_locks.py

deploy-check: ## Build the images, run the compose stack for real, roll a version (needs a Docker engine)
	deploy/check || test $$? -eq 77

test: tests ## Run every test

check: format lint types imports tests ## Everything CI runs: format, lint, types, import contracts, tests (docs among them)

format: $(VENV)/for-development
	$(BIN)/ruff format --check .

lint: $(VENV)/for-development
	$(BIN)/ruff check .

types: $(VENV)/for-development
	$(BIN)/mypy

imports: $(VENV)/for-development
	$(BIN)/lint-imports

tests: browser $(VENV)/bin/promtool $(VENV)/for-development
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest $(PYTEST_FLAGS)

browser: ## Install Chromium, which the tests of the web page drive, if that can be done by itself
	@command -v chromium > /dev/null || { \
	  test "$$(id -u)" = 0 && grep -qE '^ID(_LIKE)?=.*debian' /etc/os-release && $(CHROMIUM); } > /dev/null 2>&1 || \
	  echo "The tests of the web page will be skipped: there is no chromium. On Debian: apt-get install chromium"

# Debian's package unpacked, not installed: that would start a service.
$(VENV)/bin/promtool: | $(VENV)/bin/python
	@command -v promtool > /dev/null || { cd $(VENV) && { $(APT) download prometheus || { $(APT) update && $(APT) download prometheus; }; } && \
	  dpkg -x prometheus_*.deb prometheus && mv prometheus/usr/bin/* bin/ && rm -r prometheus*; } > /dev/null 2>&1 || \
	  echo "The tests of the alerts will be skipped: there is no promtool. On Debian: apt-get install prometheus"

train: $(VENV)/for-development ## Train the shipped model again, from the shipped photos
	$(BIN)/scenery train

conformance: $(VENV)/for-development ## Play the answers recorded from tensorflow_model_server against the embedded server
	$(BIN)/python -m tests.conformance $(CONFORMANCE_FLAGS)

bench: $(VENV)/for-development ## Measure Scenery beside its peers, and write docs/performance.md (ten minutes)
	$(BIN)/python -m benchmarks $(BENCH_FLAGS)

clean: ## Remove the virtual environment, caches and runs
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info runs

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "Scenery needs Python 3.10 to 3.13; $(PYTHON) is not one. Run: make PYTHON=/path/to/python3.x ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/for-serving: $(VENV)/bin/python setup.cfg pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[export,serving,proxy,rollout]'
	@touch $@

# imgaug asks for opencv-python, which needs a graphics library; the headless build takes its place.
$(VENV)/for-development: $(VENV)/bin/python setup.cfg pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps 'opencv-python-headless>=4.10,<5'
	@touch $@ $(VENV)/for-serving
