# The project's commands; `make` alone lists them. Only Python 3.11+, make and a package registry are needed.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help up test coverage check lock mlflow albumentations notebooks screenshots messages vendor clean

VENV := .venv
BIN := $(VENV)/bin
MLFLOW_VENV := .venv-mlflow
MLFLOW_PORT ?= 5000

# $(call make_venv,FOLDER): an environment of the first Python that is new enough; a half-made one leaves nothing.
define make_venv
	for candidate in $(PYTHON) python3.11 python3 python3.12 python3.13; do \
		if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python="$$candidate"; break; fi; \
	done; \
	if [ -z "$${python:-}" ]; then \
		echo "Python 3.11 or newer is needed, and none was found (python3 is $$(python3 --version 2>&1 || true)). Name one with: make PYTHON=/path/to/python3.11 …" >&2; exit 1; \
	fi; \
	echo "Creating $(1) with $$("$$python" --version)"; \
	"$$python" -m venv $(1) || { rm -rf $(1); echo "$$python cannot create environments: on Debian and Ubuntu, install python3-venv." >&2; exit 1; }
endef

# $(call install,FOLDER,LOCK): installs requirements/LOCK.txt unless the copy kept in FOLDER says that it is there.
define install
	if ! cmp -s requirements/$(2).txt $(1)/$(2).lock; then \
		echo "Installing requirements/$(2).txt (once; the first time takes minutes)"; \
		$(1)/bin/python -m pip --version >/dev/null 2>&1 || $(1)/bin/python -m ensurepip --upgrade >/dev/null; \
		$(1)/bin/python -m pip install --disable-pip-version-check --require-hashes --requirement requirements/$(2).txt; \
		cp requirements/$(2).txt $(1)/$(2).lock; \
	fi
endef

# $(call setting,NAME): prints what the site's settings make of the environment and of `.env`.
setting = $(BIN)/python -c 'from cifarsite import settings; print(settings.$(1))'

help: ## list the commands
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

up: install-worker ## install, prepare and start everything (PORT=8000, HOST=127.0.0.1)
	@$(BIN)/python manage.py up --with-parent

test: install-dev ## run the tests in embedded mode (PYTEST="-k name" chooses)
	@DATABASE_URL= REDIS_URL= $(BIN)/python -m pytest $(PYTEST)

coverage: install-dev ## the same, and tell which lines they leave out
	@DATABASE_URL= REDIS_URL= $(BIN)/python -m pytest --cov --cov-report=term:skip-covered $(PYTEST)

check: install-dev ## lint, types, templates, boundaries, security, migrations and production settings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/djlint --quiet --lint templates
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive cifarsite classifier training
	$(BIN)/python manage.py makemigrations --check --dry-run
	@echo "manage.py check --deploy, with production settings"
	@DATABASE_URL=postgres://check@localhost/check REDIS_URL=redis://localhost/0 ALLOWED_HOSTS=cifarsite.example \
		SECRET_KEY="$$(head -c 64 /dev/urandom | base64 -w0)" \
		$(BIN)/python manage.py check --deploy --fail-level WARNING

# uv does not read pip's configuration: hand it the index by environment, so that no lock names one.
COMPILE = UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$$($(BIN)/pip config get global.index-url 2>/dev/null || true)}"; \
	[ -z "$$UV_DEFAULT_INDEX" ] || export UV_DEFAULT_INDEX; \
	compile() { $(BIN)/uv pip compile --quiet --generate-hashes --no-strip-extras --no-emit-index-url --python-version 3.11 \
		--python-platform x86_64-manylinux_2_28 --custom-compile-command "make lock" $(UPGRADE) \
		requirements/$$1.in --output-file requirements/$$1.txt $${2:+--constraint $$2}; }

lock: install-dev ## rewrite the hashed locks from requirements/*.in (UPGRADE=--upgrade takes newer versions)
	@$(COMPILE); compile dev; for name in worker base mlflow albumentations notebooks; do compile $$name requirements/dev.txt; done

mlflow: install-worker ## open the full MLflow interface on the same runs (MLFLOW_PORT=5000)
	@store="$$($(call setting,MLFLOW_TRACKING_URI))"; case "$$store" in \
		sqlite:*|postgresql:*) ;; \
		"") echo "No runs are recorded: MLFLOW_TRACKING_URI is off." >&2; exit 1 ;; \
		*) echo "Runs are recorded by a server: open $$store instead." >&2; exit 1 ;; \
	esac
	@test -x $(MLFLOW_VENV)/bin/python || { $(call make_venv,$(MLFLOW_VENV)); }
	@$(call install,$(MLFLOW_VENV),mlflow)
	@echo "MLflow: http://127.0.0.1:$(MLFLOW_PORT) (run pages link to it while it is open)"
	@var="$$($(call setting,VAR))"; store="$$($(call setting,MLFLOW_TRACKING_URI))"; \
		echo "http://127.0.0.1:$(MLFLOW_PORT)" > "$$var/mlflow.url"; trap 'rm -f "$$var/mlflow.url"' EXIT; \
		MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true $(MLFLOW_VENV)/bin/mlflow server \
		--host 127.0.0.1 --port $(MLFLOW_PORT) --workers 1 --backend-store-uri "$$store"

albumentations: install-dev install-albumentations ## add the optional Albumentations backend and run its tests
	@$(BIN)/python -m pytest tests/training/engine/test_pipeline.py -k albumentations

notebooks: install-dev install-notebooks ## add what notebooks need and execute them, in order, on the demo dataset
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --nbmake --nbmake-timeout=600 notebooks

screenshots: install-dev ## make docs/screenshots anew, from a site of its own (needs chromium)
	@$(BIN)/python -m tools.screenshots

messages: install-dev ## collect the texts to translate and compile the translations (needs gettext)
	@$(BIN)/python manage.py makemessages --locale fr --no-obsolete --no-wrap --add-location never --ignore '.venv*' --ignore node_modules --ignore var
	@$(BIN)/python manage.py compilemessages --locale fr --ignore '.venv*' --ignore node_modules --ignore var

vendor: ## refresh static/vendor from package-lock.json (needs Node.js)
	@npm ci && npm run vendor

clean: ## remove caches and collected files; data in var/ and environments stay
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov staticfiles node_modules
	@find . -path './.venv*' -prune -o -name __pycache__ -type d -exec rm -rf {} +

$(BIN)/python:
	@$(call make_venv,$(VENV))

install-%: $(BIN)/python
	@$(call install,$(VENV),$*)
