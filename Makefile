# Two commands do everything: each installs what is missing, then does its job.
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= out/demo
ENGINE ?= flink# or spark, prism
AT_ONCE ?= 3# files of tests: those that wait for servers leave their core to others
export OBBLIGATO_VENV := $(VENV)

.PHONY: demo test checks tests nightly cluster manifests setup

demo: setup ## compose a dozen pieces, build a corpus from them, say how well each label was recovered
	$(BIN)/obbligato demo --out $(OUT) --workers 2

test: setup ## format, lint, types, room borders, tests
	@$(MAKE) --no-print-directory -j2 checks tests DURATIONS='$(DURATIONS)'

checks: # on one core, while tests begin
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

tests:
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(AT_ONCE) --dist loadfile $(DURATIONS)

nightly: DURATIONS := --durations=25# of make test too: what a test costs is seen each night
nightly: test ## the long tests too, and what is known of holes in the packages
	infra/audit.sh
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow $(DURATIONS)

cluster: demo ## the demo's music again through a real engine on this machine, in a network namespace
	infra/cluster/run.sh $(ENGINE) $(BIN)/obbligato build $(OUT)/songs/songs.csv --out $(OUT)/$(ENGINE)

manifests: setup ## Flink's manifests again, from infra/flink/description.toml
	$(BIN)/python infra/flink/manifests.py

setup:
	@infra/setup.sh
