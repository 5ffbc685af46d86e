# modemhub's commands: `make help` lists them.
#
# Needed beforehand: git, make, python3 (3.11 or newer) with its venv module, and the network to fetch packages once.
# Everything fetched or built stays below .venv and .cache in this directory; nothing is written to the home directory.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
UV_VERSION := 0.13.9
uv := .cache/uv-$(UV_VERSION)/bin/uv
run := .venv/bin/python

# The Debian packages that some tests drive: a real broker and its clients, system-call traces, two other SMS daemons as
# witnesses, real udev with a USB bus that is only mocked, a browser with a font, a plain Debian 13 and the judge of Debian's
# packages, what reads the files that the device derives from its settings, and two other decoders of messages.
ORACLES := python3-gammu tshark
DEBIAN_PACKAGES := mosquitto mosquitto-clients strace gammu-smsd smstools udev umockdev chromium fonts-dejavu-core \
	mmdebstrap lintian nftables wpasupplicant openssh-client fdisk $(ORACLES)

# What judges from outside and comes by other ways: codecs, Node-RED, Home Assistant. Each is fetched once.
FETCHED := .cache/oracles/.complete .cache/node-red/fetched.json .cache/homeassistant/.complete

# Most tests wait for processes more than they compute: one more at a time than there are cores.
parallel := -n $(shell expr 1 + $$(nproc 2>/dev/null || echo 1)) --dist worksteal

export UV_CACHE_DIR := .cache/uv
export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON_DOWNLOADS := never
export UV_LINK_MODE := copy
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH

# Progress bars on a terminal, silence in a log.
sync = $(uv) sync $$(test -t 2 || echo --quiet) --locked --python "$$(command -v $(PYTHON))"

# What builds the image, what runs it, and what builds and runs the guest.
IMAGE_PACKAGES := mmdebstrap arch-test dpkg openssl
CARD_PACKAGES := $(IMAGE_PACKAGES) qemu-system-arm qemu-utils mtools dosfstools u-boot-tools openssh-client device-tree-compiler mosquitto mosquitto-clients
CARD_TESTS := hil/tests/test_card*.py
GUEST_PACKAGES := mmdebstrap arch-test qemu-system-arm qemu-utils mosquitto

.PHONY: help setup check test demo hil guest homeassistant deb image card mutants bench fuzz oracles lock clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: .venv/.complete ## fetch all that the other commands need (Python packages, below this directory)
	@:

check: setup ## lint, format, types, and that no machine's own paths or hosts stand in the tree
	$(run) -m ruff check
	$(run) -m ruff format --check
	$(run) -m mypy
	@.ci/no-foreign-places

test: setup $(FETCHED) ## every test; installs Debian packages first where this is root or has sudo (ARGS="-k name" to choose)
	@.ci/debian-packages $(DEBIAN_PACKAGES)
	$(run) -m pytest $(parallel) $(ARGS)

demo: .venv/.runnable ## the real hub on two emulated modems with a broker; prints what to try (no root needed)
	@$(run) -m hil.demo $(ARGS)

hil: setup ## the black-box tests in their long form: every crash point 50 times, 200 texts through broker faults
	@.ci/debian-packages $(DEBIAN_PACKAGES)
	$(run) -m pytest $(parallel) --long hil $(ARGS)
	$(run) -m hil.mutants

guest: setup ## the hub on a real kernel, with its USB drivers, udev and GPIO, in QEMU; builds the guest once (root, 5 minutes)
	@.ci/debian-packages $(GUEST_PACKAGES)
	@$(run) -m hil.guest.build
	$(run) -m pytest --long hil/tests/test_guest.py $(ARGS)

homeassistant: setup .cache/homeassistant/.complete ## a real Home Assistant on the hub's discovery; fetched once, no root needed
	@.ci/debian-packages mosquitto umockdev
	$(run) -m pytest $(parallel) --long hil/tests/test_homeassistant.py $(ARGS)

deb: $(uv) ## the Debian package for Debian 13 and Raspberry Pi OS 13, amd64 and arm64, below dist/ (no root needed)
	@.ci/debian-packages dpkg
	@$(or $(wildcard .venv/bin/python),$(PYTHON)) -m image.package.build $(ARGS)

image: $(uv) ## the SD image for Raspberry Pi and its update bundle, below dist/ (root, Debian on amd64; 15 minutes once, then 2)
	@.ci/debian-packages $(IMAGE_PACKAGES)
	@$(or $(wildcard .venv/bin/python),$(PYTHON)) -m image.card $(ARGS)

card: setup ## the very SD image in QEMU: boots, sends and receives, updates, loses its power (ARGS=--long for all of it)
	@.ci/debian-packages $(CARD_PACKAGES)
	card=$$($(run) -m image.card --only --moved) && $(run) -m pytest --card "$$card" $(CARD_TESTS) $(ARGS)

mutants: setup ## break the hub one law at a time and see the tests turn red (ARGS="a word of a mutant's name")
	@.ci/debian-packages $(DEBIAN_PACKAGES)
	$(run) -m hil.mutants $(ARGS)

bench: setup ## measure the hub on emulated modems and print the table of figures (ARGS=--json for machines)
	@.ci/debian-packages mosquitto
	$(run) -m hil.bench $(ARGS)

fuzz: setup ## a million random and mutated PDUs through the codec (ARGS="--count N --seed S")
	$(run) -m tests.sms.fuzz $(or $(ARGS),--count 1000000 --seed 1)

# The codecs that judge ours; a test says so where they could not be fetched.
.cache/oracles/.complete: tests/oracles/requirements.txt | setup
	@echo "- fetching the codecs that ours is held against"
	@$(run) -c 'from tests.oracles import cast; cast.fetch()' && touch $@ || echo "  they could not all be fetched"

# One of the clients; a test says so where it could not be fetched.
.cache/node-red/fetched.json: hil/nodered/package-lock.json | setup
	@echo "- fetching the Node-RED that the shipped flow is tried in"
	@$(run) -m hil.nodered && touch $@ || echo "  it could not be fetched"

# Home Assistant Core with a Python of its own; a test says so where it could not be fetched.
.cache/homeassistant/.complete: hil/homeassistant/requirements.txt hil/homeassistant/build.py | setup
	@.ci/debian-packages mmdebstrap
	@$(run) -m hil.homeassistant.build >/dev/null && touch $@ || echo "  Home Assistant could not be fetched"

oracles: setup ## our codec, then the emulated network's, against independent decoders and encoders, in full
	@.ci/debian-packages $(ORACLES)
	$(run) -m tests.oracles $(ARGS)
	$(run) -m tests.oracles $(ARGS) --writer '$(run) -m hil.emulator.lines --write' --reader '$(run) -m hil.emulator.lines --read'

lock: $(uv) ## bring uv.lock up to date after a change of pyproject.toml
	$(uv) lock --python "$$(command -v $(PYTHON))"

clean: ## remove all that the other commands made
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis

# uv reads the lock file; it comes as a Python package into a small environment of its own.
$(uv):
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here; name one: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "modemhub needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3"; exit 1; }
	@echo "- fetching uv $(UV_VERSION), which reads the lock file"
	@rm -rf .cache/uv-*/ && mkdir -p .cache
	@$(PYTHON) -m venv .cache/uv-$(UV_VERSION) \
		|| { echo "Python's venv module is missing; on Debian: apt install python3-venv"; exit 1; }
	@.cache/uv-$(UV_VERSION)/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check uv==$(UV_VERSION) \
		|| { rm -rf .cache/uv-$(UV_VERSION); echo "uv could not be fetched: is the package registry reachable?"; exit 1; }
	@touch $@

# An interpreter that has gone (an upgraded system) is a missing file here, so the environment is made anew.
.venv/bin/python: | $(uv)
	@echo "- making .venv with $$($(PYTHON) --version)"
	@$(uv) venv --quiet --clear --python "$$(command -v $(PYTHON))" .venv

# What the hub and the demo need; the rest of the environment, if it is there, stays.
.venv/.runnable: pyproject.toml uv.lock .venv/bin/python | $(uv)
	@test -e .venv/.complete || echo "- fetching the packages of the hub and the demo"
	@$(sync) --inexact --no-default-groups --group demo
	@touch $@

.venv/.complete: pyproject.toml uv.lock .venv/bin/python | $(uv)
	@echo "- fetching the packages of the hub, the demo and the tests"
	@$(sync) --all-groups
	@touch .venv/.runnable $@
