# make help lists the targets. Everything is installed into .venv, from names and versions in constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --build-constraint constraints.txt
# The file for `make demo`, handed on as it is: names may hold spaces and quotes.
export FILE

.PHONY: help demo serve test check format docs lock wheel clean
help:
	@echo "make demo [FILE=clip.mp4]  analyse a file, or a made clip and a forgery of it; reports in demo/"
	@echo "make serve [ARGS=...]      open the pages and the REST interface on this machine (ARGS goes to fakelab serve)"
	@echo "make test [ARGS=...]       run the tests (ARGS goes to pytest)"
	@echo "make check                 format, lint, types, import rules, generated pages"
	@echo "make format                format the code and mend what the linter can"
	@echo "make docs                  write the generated pages of docs/reference"
	@echo "make lock                  write constraints.txt anew with the newest versions that fit"
	@echo "make wheel                 build the wheel into dist/"
	@echo "make clean                 remove .venv and everything that was made"

demo: .venv/.demo
	@$(BIN)/python scripts/demo.py

serve: .venv/.demo
	@$(BIN)/python -m fakelab serve $(ARGS)

test: .venv/.test .venv/.system
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile $(ARGS)

check: .venv/.test
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m fakelab.cli.docs --check

format: .venv/.test
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: .venv/.test
	$(BIN)/python -m fakelab.cli.docs

lock: .venv/.uv
	$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --all-extras --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links pyproject.toml --output-file constraints.txt

wheel: .venv/.uv
	$(BIN)/uv build --wheel --build-constraint constraints.txt --out-dir dist

clean:
	rm -rf .venv build dist demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# Stamps: an install is repeated only when what it was made from has changed.
.venv/.uv: constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@touch $@

.venv/.demo: pyproject.toml constraints.txt .venv/.uv
	@echo "Installing FakeLab into .venv ..."
	@$(INSTALL) --editable '.[demo]'
	@touch $@

.venv/.test: pyproject.toml constraints.txt .venv/.uv
	@echo "Installing FakeLab with everything for training and tests into .venv; this takes some minutes the first time ..."
	@$(INSTALL) --editable '.[dev,train,url]'
	@touch $@

# What the tests of the pages and of PostgreSQL need from the system; without it they are skipped, and say so.
.venv/.system: scripts/system_packages.sh .venv/.uv
	@sh scripts/system_packages.sh
	@touch $@
