# The daily loop:
#
#   make run          build what is missing, boot it in QEMU on this terminal
#   make test         every test, the ones in QEMU included
#   make lint         gofmt, go.mod, vet, staticcheck, deadcode, shellcheck: before a commit
#   make soak         what takes too long for every change: before a release
#
# Long-lived products (the kernel, the binaries of other people's modules) are
# kept by content hash under ${XDG_CACHE_HOME:-~/.cache}/ketch: make clean does
# not touch them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

KETCH := bin/ketch
PORT ?= 8080
KEYS ?= keys
BUILD = $(KETCH) build --keys $(KEYS) $(if $(filter 1,$(RELEASE)),--release)
GOFLAGS := -trimpath -buildvcs=false
export GOFLAGS

# Every target is a command, not a file: the tools below decide what is up to date.
.PHONY: help setup modules build install keys kernel layers qemu run test soak bench lint fuzz clean \
	ec2 gce openstack rackspace onmetal metal

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install the Debian packages that are missing (the only step that needs root)
	@scripts/setup

modules: setup
	@scripts/modules

# ketch version tells the commit, where git knows it.
VCS := -buildvcs=$(if $(shell git rev-parse HEAD 2>/dev/null),true,false)

build: modules ## bin/ketch, the builder
	@go build $(VCS) -o $(KETCH) ./builder/ketch

PREFIX ?= /usr/local
SHARE = $(DESTDIR)$(PREFIX)/share

# Root installs what its user has built: it may have no Go.
install: ## bin/ketch, completions and manual pages, under PREFIX (default /usr/local)
	@[ $$(id -u) = 0 ] && [ -x $(KETCH) ] || $(MAKE) build
	@install -D -m 755 $(KETCH) $(DESTDIR)$(PREFIX)/bin/ketch
	@mkdir -p $(SHARE)/{bash-completion/completions,zsh/site-functions,fish/vendor_completions.d}
	@$(KETCH) completion bash > $(SHARE)/bash-completion/completions/ketch
	@$(KETCH) completion zsh > $(SHARE)/zsh/site-functions/_ketch
	@$(KETCH) completion fish > $(SHARE)/fish/vendor_completions.d/ketch.fish
	@$(KETCH) man $(SHARE)/man/man1

keys: build ## development keys in keys/, made on the first build, unless KEYS=DIR names others
	@[ -e $(KEYS) ] || [ $(KEYS) != keys ] || $(KETCH) keys new --development keys

kernel: setup ## the kernel, kept by content hash
	@scripts/kernel >/dev/null

layers: build kernel ## the OS's own layers, in out/layers
	@$(KETCH) layers build -o out/layers

qemu: layers keys ## out/qemu/disk.raw
	@$(BUILD) images/qemu.yaml -o out/qemu/disk.raw
	@$(KETCH) check out/qemu/disk.raw --platform qemu >/dev/null

# A platform's image is built, written as the platform takes it, and checked; what
# to do with it stands beside it. KEYS=DIR signs it with the keys in DIR, RELEASE=1
# refuses development keys.
OUT := out
IMAGE = $(BUILD) images/$@.yaml -o $(OUT)/$@/disk.raw && $(KETCH) convert $(OUT)/$@/disk.raw -o
CHECK = $(KETCH) check --platform $@ --next-steps $(OUT)/$@/next-steps.md

ec2: layers keys ## out/ec2: disk.raw for a snapshot, disk.vmdk for an import
	@$(IMAGE) $(OUT)/ec2/disk.vmdk
	@$(KETCH) check --platform ec2 $(OUT)/ec2/disk.raw
	@$(CHECK) $(OUT)/ec2/disk.vmdk

gce: layers keys ## out/gce/disk.raw.tar.gz
	@$(IMAGE) $(OUT)/gce/disk.raw.tar.gz
	@$(CHECK) $(OUT)/gce/disk.raw.tar.gz

openstack: layers keys ## out/openstack/disk.qcow2
	@$(IMAGE) $(OUT)/openstack/disk.qcow2 --format qcow2-0.10
	@$(CHECK) $(OUT)/openstack/disk.qcow2

rackspace: layers keys ## out/rackspace/disk.vhd.tar.gz, which cannot start there yet: see docs/platforms.md
	@$(IMAGE) $(OUT)/rackspace/disk.vhd.tar.gz
	@$(CHECK) $(OUT)/rackspace/disk.vhd.tar.gz

onmetal: layers keys ## out/onmetal/disk.qcow2
	@$(IMAGE) $(OUT)/onmetal/disk.qcow2
	@$(CHECK) $(OUT)/onmetal/disk.qcow2

metal: layers keys ## out/metal/disk.raw.zst, with checksum and signature
	@$(IMAGE) $(OUT)/metal/disk.raw.zst
	@$(KETCH) seal $(OUT)/metal/disk.raw.zst --keys $(KEYS)
	@$(CHECK) $(OUT)/metal/disk.raw.zst --cert $(KEYS)/db.crt

run: qemu ## build what is missing, boot it in QEMU on this terminal (PORT=8080: the demo's)
	@$(KETCH) run out/qemu/disk.raw --port $(PORT):8080

test: qemu ## every test, the ones in QEMU included
	@scripts/test

bench: qemu ## the figures that the README quotes, as a table and in out/bench.json
	@scripts/setup bench
	@go run ./qemu-tests/bench -image out/qemu/disk.raw -json out/bench.json

soak: qemu ## for hours: every series whole, unit tests three times, on a busy host; every fuzz target
	@scripts/soak

lint: ## gofmt, go.mod, go vet, staticcheck, deadcode, shellcheck
	@scripts/lint

fuzz: ## every fuzz target, FUZZTIME each (default 30s)
	@scripts/fuzz $${FUZZTIME:-30s}

clean: ## remove what was built here (keys/ and the cache stay)
	@rm -rf bin out
