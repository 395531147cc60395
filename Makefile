# Every target works on a fresh machine with git, make, Python 3.11+ and pip's registry.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all lint type format peers oracles smoke fuzz soak clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -c constraints.txt -e '.[dev]'
	@touch $@

install: $(STAMP)  ## create .venv and install the package with pinned versions

demo: $(STAMP)  ## corpus, training, evaluation, enrolment: the whole main job (about 5 minutes)
	$(BIN)/speaker-id demo

test: $(STAMP)  ## run the whole test suite
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-all: $(STAMP)  ## the same with every combination of model, pooling and loss, and the slowest tests
	SPEAKER_ID_TEST_ALL=1 $(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(STAMP)  ## ruff: style and errors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(STAMP)  ## mypy --strict on src/
	$(BIN)/mypy --strict src

oracles: $(STAMP)  ## fetch published weights that tests compare with (a download of 97 MB, into ~/.cache/speaker_id)
	$(BIN)/python scripts/fetch_oracles.py

peers: $(STAMP)  ## install the toolkits that benchmarks/ compares with, into .venv-peers
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --disable-pip-version-check -c constraints.txt -e . -r benchmarks/peers.txt
	.venv-peers/bin/python -m pip install --disable-pip-version-check --no-deps mvector==1.1.7

format: $(STAMP)  ## let ruff rewrite the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

smoke: $(STAMP)  ## a real tiny training that must end below a bound
	$(BIN)/python -m pytest -n 0 tests/test_smoke.py

fuzz: $(STAMP)  ## 10,000 damaged recordings and hostile requests through library and service (half an hour)
	$(BIN)/python benchmarks/fuzz.py

soak: $(STAMP)  ## half an hour of load on a real service: nothing lost, no failure, memory flat
	$(BIN)/speaker-id pretrained get dvector-ge2e
	$(BIN)/python benchmarks/soak.py

clean:  ## remove what the targets made (not runs/)
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
