# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
# Every target is sufficient alone: the first one used makes .venv and installs. See `make help`.

RUN := scripts/run.sh
ARGS ?=
# One thread per process: the tests start many processes.
TEST_ENV := OMP_NUM_THREADS=1 ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
# Test files at once: two more than processors, as tests of nodes wait, with 2 GB each; JOBS=0: one process.
JOBS ?= $(shell nproc | awk '{ print $$1 < 5 ? $$1 + 2 : 6 }')
# A process that crashes or hangs ends the run, and says in which test: replaced, xdist 3.8 waits for ever.
PYTEST = $(TEST_ENV) ROS_DOMAIN_ID=$$(shuf -i 1-101 -n 1) $(RUN) python -m pytest -p no:randomly \
	-n $(JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0 \
	--timeout 900 --timeout-method thread

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast setup teach train evaluate lint bench docs lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: setup ## watch the shipped policy grasp in simulation; writes demo.mp4
	@$(RUN) motion-policy demo $(ARGS)

test: setup ## check everything
	@$(PYTEST) -rs $(ARGS)

# Hardly a test of these waits, and each process imports all files anew.
test-fast: JOBS = $(shell nproc | awk '{ print $$1 < 4 ? $$1 : 4 }')
test-fast: setup ## check what needs no ROS 2 and does not take long
	@$(PYTEST) -q -m 'not slow and not ros and not package' $(ARGS)

setup: ## make .venv and install; at once when it is done already
	@scripts/setup.sh

teach: setup ## record demonstrations in simulation to data/tabletop
	@$(RUN) motion-policy teach --out data/tabletop $(ARGS)

train: setup ## train on them; the same call goes on after a stop
	@$(RUN) motion-policy train config/train/sarnn_tabletop.yaml $(ARGS)

evaluate: setup ## judge what was trained on the simulated arm
	@$(RUN) motion-policy evaluate runs/sarnn_tabletop/best sim:tabletop:grasp $(ARGS)

lint: setup ## ruff, and mypy --strict on the rooms that promise it
	@$(RUN) ruff check .
	@$(RUN) mypy

bench: setup ## measure, each time against a named reference
	@$(RUN) motion-policy bench $(ARGS)

docs: ## build the documentation as a site, links checked: site/index.html
	@scripts/setup.sh docs
	@NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict $(ARGS)

lock: setup ## write requirements/constraints*.txt anew
	@scripts/lock.sh

clean: ## remove .venv and what tools left; recordings and runs stay
	@rm -rf .venv build install log site *.egg-info .mypy_cache .ruff_cache .pytest_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
