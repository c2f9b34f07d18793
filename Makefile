# Shortcuts for people with make; every rule is one command that also works typed by hand.
UV ?= uv
# `make lock UPGRADE=--upgrade` moves every pin to its newest release; without it the pins that still fit stay.
UPGRADE ?=
COMPILE = $(UV) pip compile pyproject.toml --group lock --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet $(UPGRADE)

.PHONY: lab test lock

lab:
	python3 course.py lab

test:
	python3 course.py test

# Refresh the locks: the whole course with its tests, what Binder installs (no test tools), and what
# lesson 05's service needs.
lock:
	$(COMPILE) --extra test --output-file requirements.txt
	$(COMPILE) --constraint requirements.txt --no-annotate --output-file binder/requirements.txt
	$(subst pyproject.toml --group lock,notebooks/05_requirements.in,$(COMPILE)) --constraint requirements.txt \
		--no-annotate --output-file notebooks/05_requirements.txt
