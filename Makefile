# Every command of the repository. Each is one simple command, which make executes without a shell
# in between, so that SIGTERM sent to make reaches what it runs (of a SIGINT that make gets alone,
# see devstack/parent.py). ARGS are passed on:
# make test ARGS="tests/index -k expiry"
PYTHON ?= python3
ARGS ?=

help:
	@sed -n "s/^\([a-z]*\):.*## /  make \1 /p" Makefile

run: ## ....... everything on this machine, until Ctrl-C
	@$(PYTHON) devstack/bootstrap.py run $(ARGS)

test: ## ...... the whole test suite, on stores of its own
	@$(PYTHON) devstack/bootstrap.py test $(ARGS)

lint: ## ...... format, lint, types, layer rules
	@$(PYTHON) devstack/bootstrap.py lint $(ARGS)

bench: ## ..... the benchmarks, each beside its reference
	@$(PYTHON) devstack/bootstrap.py bench $(ARGS)

drill: ## ..... the slow fault drills and soaks
	@$(PYTHON) devstack/bootstrap.py drill $(ARGS)

.PHONY: help run test lint bench drill
