# Everything a developer or a stranger runs. Each target brings what it needs and can be run alone.

SHELL    := /bin/sh
# The first that really is 3.11 or newer; else bootstrap/prepare.py says what to do.
PYTHON3  ?= $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && exit; done; echo python3)
PY       := .venv/bin/python
PORT     ?= 8000
WORKERS  ?= 4
TESTS    ?= tests
# Tests that break one real server after the other on purpose.
CRASHES  := tests/faults $(addprefix tests/host/,test_package_faults.py test_cut_off.py test_torn.py)
# Tests of the whole: on PostgreSQL, through other people's clients, by the main job, page by page,
# used roughly, with many servers; and of real servers: what is in the way, and what visitors notice.
SYSTEM   := tests/e2e tests/clients $(addprefix tests/,api/test_two_playbooks.py \
	demo/test_smoke.py panel/test_on_postgresql.py panel/test_slow_clients.py \
	$(addprefix web/,test_every_page.py test_many_servers.py test_rough_use.py) \
	$(addprefix host/test_,obstacles.py server_contract.py stock_hosts.py visitors.py))
# Empty where TESTS names some of them: what these alone execute would say little.
WHOLE    := $(filter tests,$(TESTS))
export PORT EA4_DATA

.PHONY: help demo test system-test crash-test lint format smoke clients openapi-lint playbook bench torture \
	compose-test packages machine-test screenshots coverage docs migrations locks ready ready-demo ready-bench \
	ready-clients clean

help:
	@echo 'make demo         a running panel with a real server in a folder, on 127.0.0.1:$$PORT (8000)'
	@echo 'make test         every test but the next two, browser included; nothing is skipped;'
	@echo '                  at the end, how much of the code they execute'
	@echo 'make system-test  the whole of it: PostgreSQL, WHM clients, the main job, every page, real servers'
	@echo 'make crash-test   real servers broken on purpose: kills, pulled plugs, failing packages'
	@echo 'make lint         ruff, mypy --strict, import contracts, djlint, codespell'
	@echo 'make smoke        the main job without a browser: one JSON line per change'
	@echo 'make clients      WHM clients that others wrote, unmodified, against this panel (needs npm)'
	@echo 'make openapi-lint  the description of the API before linters and a generator (needs npm)'
	@echo 'make playbook     the playbook of the docs: on a simulated server, and two at once on a real one'
	@echo 'make bench        this panel beside raw dnf, a shell script and Ansible'
	@echo 'make torture      500 kills and 100 pulled plugs at random instants (KILLS=, PLUGS=)'
	@echo 'make compose-test both images and docker-compose.yml on a real engine (docker, podman)'
	@echo 'make packages     RPMs and .debs of panel and agent, into build/packages/'
	@echo 'make machine-test the packages on a whole machine with systemd (root; CUTS=, PLUGS=)'
	@echo 'make screenshots  docs/screenshots/ from the running panel'
	@echo 'make docs         docs/reference/ from the code itself'
	@echo 'make coverage     what the last `make test` measured, written into README.md'
	@echo 'make format       let ruff arrange the code'
	@echo 'make locks        requirements/*.lock from pyproject.toml'

# -- running -----------------------------------------------------------------------------------

demo: ready-demo
	@exec $(PY) manage.py demo

smoke: ready-demo
	@exec $(PY) -m demo.smoke

# -- checking ----------------------------------------------------------------------------------

test: ready
	@echo 'Compiling'
	@$(PY) -m compileall -q easyapache mpm lab demo tests bootstrap manage.py
	@echo 'Testing'
	@exec $(PYTHON3) bootstrap/open_place.py $(PY) -m pytest -n $(WORKERS) --dist loadgroup \
		$(if $(WHOLE),-p tests.executed_lines $(addprefix --ignore=,$(CRASHES) $(SYSTEM))) $(TESTS)
	$(if $(WHOLE),@exec $(PY) -m tests.coverage_in_readme)

system-test: ready
	@exec $(PYTHON3) bootstrap/open_place.py $(PY) -m pytest -n $(WORKERS) --dist loadgroup \
		$(SYSTEM)

crash-test: ready
	@exec $(PYTHON3) bootstrap/open_place.py $(PY) -m pytest -n $(WORKERS) --dist loadgroup \
		$(CRASHES)

lint: ready
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/djlint --lint --quiet templates
	.venv/bin/codespell

format: ready
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

screenshots: ready
	@exec $(PY) -m tests.screenshots docs/screenshots

docs: ready
	@exec $(PY) -m bootstrap.reference

coverage: ready
	@exec $(PY) -m tests.coverage_in_readme --write

clients: ready-clients
	@command -v npm >/dev/null || { echo 'make clients needs node and npm' >&2; exit 1; }
	npm ci --prefix tests/clients --ignore-scripts --no-audit --no-fund
	@exec $(PY) -m tests.clients

openapi-lint: ready
	@command -v npm >/dev/null || { echo 'make openapi-lint needs node and npm' >&2; exit 1; }
	npm ci --prefix tests/openapi --ignore-scripts --no-audit --no-fund
	@exec $(PY) -m tests.openapi

playbook: ready ready-bench
	@exec $(PY) -m tests.playbook

# NAMES='switches history' measures only these.
bench: ready-bench
	@exec $(PY) -m bench $(NAMES)

torture: ready
	@exec $(PY) -m tests.faults.torture --kills $(or $(KILLS),500) --plugs $(or $(PLUGS),100)

# ENGINE=podman and COMPOSE='podman-compose' choose; BUILD_ARGS are passed to the builds.
compose-test: ready
	@exec $(PY) -m tests.compose

# -- packages ----------------------------------------------------------------------------------

packages: ready
	@command -v rpmbuild >/dev/null || { echo 'make packages needs rpmbuild' >&2; exit 1; }
	@exec $(PY) -m bootstrap.packages $(if $(VERSION),--version $(VERSION)) $(if $(RELEASE),--release $(RELEASE))

machine-test: ready
	@exec $(PY) -m tests.machine --cuts $(or $(CUTS),30) --plugs $(or $(PLUGS),10)

# -- upkeep ------------------------------------------------------------------------------------

ready:
	@echo 'Preparing this machine'
	@$(PYTHON3) bootstrap/prepare.py test

ready-demo:
	@echo 'Preparing this machine'
	@$(PYTHON3) bootstrap/prepare.py demo
	@$(PY) -m compileall -q easyapache mpm lab demo

LOCK := uv pip compile -q pyproject.toml --python-version 3.11 --universal \
	--generate-hashes --no-header --no-emit-index-url

ready-bench:
	@echo 'Preparing this machine'
	@$(PYTHON3) bootstrap/prepare.py bench

ready-clients:
	@echo 'Preparing this machine'
	@$(PYTHON3) bootstrap/prepare.py clients

locks:
	@command -v uv >/dev/null || { echo 'make locks needs uv (pip install uv)' >&2; exit 1; }
	$(LOCK) --group dev -o requirements/dev.lock
	$(LOCK) --group demo -c requirements/dev.lock -o requirements/demo.lock
	$(LOCK) -c requirements/dev.lock -o requirements/runtime.lock
	uv pip compile -q --group bench --python-version 3.11 --universal --generate-hashes \
		--no-header --no-emit-index-url -o requirements/bench.lock
	uv pip compile -q --group clients --python-version 3.11 --universal --generate-hashes \
		--no-header --no-emit-index-url -o requirements/clients.lock

clean:
	rm -rf .venv .venv-bench .venv-clients .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
