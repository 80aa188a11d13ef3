# OpenVRAS: the verbs of the house. `make demo` and `make test` set up what is missing.
SHELL := /bin/bash
PYTHON := .venv/bin/python
STAMP := .venv/.ready
PARALLEL := -n auto --dist loadfile --no-loadscope-reorder

.PHONY: setup demo test test-fast soak lint types bench docs service-vm lock clean

setup: $(STAMP)  ## Debian packages, the virtual environment, compiled translations

$(STAMP): requirements/dev.lock requirements/uv.lock pyproject.toml vrasnode/pyproject.toml deploy/setup.sh deploy/packages.txt $(wildcard locale/*/LC_MESSAGES/*.po)
	@bash deploy/setup.sh
	@touch $@

demo: $(STAMP)  ## the main job on real parts; ARGS="--once --json"
	$(PYTHON) manage.py demo $(ARGS)

test: $(STAMP)  ## everything, on as many processors as there are
	$(PYTHON) -m pytest -m "not soak" $(PARALLEL) $(ARGS)

test-fast: $(STAMP)  ## without machines, daemons of the lab and browser
	$(PYTHON) -m pytest -m "not slow and not soak" $(PARALLEL) $(ARGS)

soak: $(STAMP)  ## long fault injection; its output is kept in docs/soak.txt
	set -o pipefail; $(PYTHON) -m pytest -m soak -q -rA --show-capture=no --durations=0 $(ARGS) | tee docs/soak.txt

lint: $(STAMP)
	$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check . && .venv/bin/lint-imports

types: $(STAMP)
	$(PYTHON) -m mypy vrasnode vrasctl config clients imaging mydoc checkout

bench: $(STAMP)  ## ARGS="--quick"
	for part in publish update machines cutoff replica dossier delta swarm crowd front; do $(PYTHON) -m benchmarks.$$part $(ARGS) || exit; done

docs: $(STAMP)  ## what docs hold that is made: the OpenAPI file and the pictures of the pages
	$(PYTHON) manage.py spectacular --file docs/openapi.yaml
	$(PYTHON) -m tests.browser.pictures docs/pictures

OUT := build/virtual-server.raw
service-vm: $(STAMP)  ## the virtual server's image, from Debian packages; OUT=file.raw
	mkdir -p $(dir $(OUT)) && $(PYTHON) -m vrasnode.servicevm.build $(OUT)

lock: $(STAMP)  ## pin the newest releases by hash, without addresses
	bash deploy/lock.sh

clean:
	rm -rf .venv .cache build vrasnode/build dist staticfiles
