# What can a developer do here? make run, test, lint, bench, soak, dist, packages, wheelhouse, share,
# clean. Nothing asks a question.
#
#   make run     environment, install, then `hpcdoctor check` on this very machine
#   make test    what the tests need (as root: packages, the user hpcdoctor), lint, all tests
#   make lint    form, likely bugs, types, who may import whom, our own YAML
#   make bench   what hpcdoctor costs, beside its peers
#   make soak    the long sweeps
#   make dist    wheel and sdist, into dist/
#   make packages    .deb and .rpm for x86_64 and aarch64, into dist/ (NODE_PYTHON=3.12: for others)
#   make wheelhouse  all wheels in one tar for nodes without a network, into dist/
#   make share   completions and manual pages anew, after a change of options
#   make docs    the documentation as a site, in build/site; its links checked
#   make clean   away with all that can be made again
#
# make test PYTEST="-k slurm -x" hands arguments to pytest.

SHELL := /bin/sh
.DEFAULT_GOAL := run
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: run test lint bench soak dist packages wheelhouse share docs clean system-packages \
	bench-packages build-packages system-user

VENV := .venv
BIN := $(VENV)/bin
PYTEST ?=
# What starts real programs stays in one of them, one test after the other (tests/conftest.py).
WORKERS ?= 2
NODE_PYTHON ?= 3.11

# A moved or copied checkout needs an install of its own, so its place is part of the mark.
PLACE := $(subst /,-,$(CURDIR))
RUNNABLE := $(VENV)/runnable$(PLACE)
DEVELOPABLE := $(VENV)/developable$(PLACE)

TEST_PACKAGES := faketime fuse3 gcc iproute2 libc6-dev libcap2-bin libudev1 mosquitto \
	mosquitto-clients munge openssl prometheus python3-paho-mqtt slurm-client slurm-wlm-basic-plugins \
	slurm-wlm-jwt-plugin slurmctld slurmd strace systemd util-linux
BENCH_PACKAGES := prometheus-node-exporter

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export DEBIAN_FRONTEND := noninteractive
export PATH := $(PATH):/usr/sbin:/sbin

# A verdict of any kind is a success here; only where none was reached is there something wrong.
# (A broken install would exit 1 too, which is not the verdict `warning`: hence the import before.)
run: $(RUNNABLE)
	@$(BIN)/python -c 'import hpcdoctor.__main__'
	@$(BIN)/hpcdoctor check </dev/null; \
	code=$$?; [ $$code -le 3 ] || exit $$code

test: system-packages system-user $(DEVELOPABLE)
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -m "not soak" --numprocesses=$(WORKERS) --dist=loadscope --cov --cov-branch --cov-report=term:skip-covered \
		$(PYTEST) </dev/null

lint: $(DEVELOPABLE)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hpcdoctor lint --strict </dev/null

bench: bench-packages $(DEVELOPABLE)
	$(BIN)/python -m bench </dev/null

docs: $(DEVELOPABLE)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/python -m mkdocs build --strict --quiet

soak: system-packages system-user $(DEVELOPABLE)
	$(BIN)/python -m pytest -m soak $(PYTEST) </dev/null

dist: $(DEVELOPABLE)
	$(BIN)/python -m build --quiet --outdir dist

packages: build-packages $(DEVELOPABLE)
	@$(BIN)/python packaging/packages.py --python $(NODE_PYTHON)

wheelhouse: $(DEVELOPABLE)
	@$(BIN)/python packaging/wheelhouse.py --python $(NODE_PYTHON)

share: $(DEVELOPABLE)
	@rm -rf packaging/share && $(BIN)/python -m hpcdoctor.cli.pages packaging/share

clean:
	rm -rf $(VENV) dist build .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNNABLE): pyproject.toml | $(BIN)/python
	@echo "installing hpcdoctor into $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(DEVELOPABLE): pyproject.toml | $(BIN)/python
	@echo "installing hpcdoctor and the developer's tools into $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $(RUNNABLE) $@

# The system's own Python comes first: the daemon runs as a user who may not read one below /root.
# Debian ships Python without ensurepip; that is what python3-venv adds.
$(BIN)/python:
	@find_python() { \
		for python in /usr/bin/python3 python3.11 python3.12 python3.13 python3; do \
			if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
				2>/dev/null </dev/null; then command -v "$$python"; return; fi; \
		done; \
		return 1; \
	}; \
	python=$$(find_python) || { \
		if [ "$$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then \
			$(call install_packages,python3-venv); \
			python=$$(find_python); \
		fi; \
	}; \
	if [ -z "$$python" ]; then \
		echo "make: there is no Python 3.11 or newer that can make an environment." >&2; \
		echo "make: Install the package python3-venv (as root: apt-get install python3-venv)," \
			"then run make again." >&2; \
		exit 1; \
	fi; \
	echo "making $(VENV) with $$python"; \
	rm -rf $(VENV) && "$$python" -m venv $(VENV)

system-packages:
	@$(call want_packages,$(TEST_PACKAGES) $(PACKAGING_PACKAGES),the tests)

BUILD_PACKAGES := rpm
PACKAGING_PACKAGES := $(BUILD_PACKAGES) debootstrap fish mandoc zsh

build-packages:
	@$(call want_packages,$(BUILD_PACKAGES),the packages)

bench-packages:
	@$(call want_packages,$(BENCH_PACKAGES),the bench)

# The tests that start all three processes need the user whom the daemon runs as.
system-user:
	@if ! getent passwd hpcdoctor >/dev/null; then \
		if [ "$$(id -u)" -eq 0 ]; then \
			echo "creating the system user hpcdoctor, whom the daemon runs as"; \
			useradd --system --user-group --no-create-home --home-dir /var/lib/hpcdoctor \
				--shell /usr/sbin/nologin hpcdoctor; \
		else \
			echo "there is no user hpcdoctor; the tests that need root and this user are skipped"; \
		fi; \
	fi

# $(call want_packages,PACKAGES,FOR WHAT): as root install those that are missing, else name them.
want_packages = missing=; \
	if command -v dpkg-query >/dev/null; then \
		for package in $(1); do \
			dpkg-query --show --showformat '$${db:Status-Status}\n' "$$package" 2>/dev/null \
				| grep -qx installed || missing="$$missing $$package"; \
		done; \
	else \
		echo "this is no Debian; what $(2) need is found in packages like these: $(1)"; \
	fi; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" -eq 0 ]; then \
			$(call install_packages,$$missing); \
		else \
			echo "not installed:$$missing; those of $(2) that need them are skipped or fail." \
				"As root: apt-get install$$missing"; \
		fi; \
	fi

# $(call install_packages,PACKAGES): without starting a service. systemd asks policy-rc.d, SysV the
# runlevel. A policy that is there already is the machine's own, and stays as it is.
install_packages = ( echo "installing:" $(1); \
	policy=/usr/sbin/policy-rc.d; \
	if [ ! -e $$policy ] && [ ! -L $$policy ]; then \
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT; trap 'exit 1' HUP INT TERM; \
		printf '\043!/bin/sh\nexit 101\n' >$$policy && chmod 755 $$policy; \
	fi; \
	install() { \
		RUNLEVEL=1 apt-get install --quiet=2 --option Dpkg::Use-Pty=0 --yes \
			--no-install-recommends "$$@" </dev/null; \
	}; \
	install $(1) || { apt-get update --quiet=2 </dev/null; install $(1); } )
