# Two commands do everything: each installs what is missing, then does its job.
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= out/demo
export OBBLIGATO_VENV := $(VENV)

.PHONY: demo test nightly setup

demo: setup ## compose a dozen pieces, build a corpus from them, say how well each label was recovered
	$(BIN)/obbligato demo $(OUT) --workers 2

test: setup ## format, lint, types, room borders, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

nightly: test ## the long tests too
	$(BIN)/pytest -m slow

setup:
	@infra/setup.sh
