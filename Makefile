# The targets for people: `make run` to see it, `make test` to check it all.
# Run as root, they install what they need on Debian 12, save the Rust toolchain.

CARGO            ?= cargo
# Programs and packages go below it; set it to build elsewhere.
CARGO_TARGET_DIR ?= $(CURDIR)/target
override CARGO_TARGET_DIR := $(abspath $(CARGO_TARGET_DIR))
export CARGO_TARGET_DIR

version  := $(shell sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)
arch     := $(shell dpkg --print-architecture)
deb_dir  := $(CARGO_TARGET_DIR)/debian
deb      := $(deb_dir)/brim_$(version)_$(arch).deb
built    := $(or $(BRIM_BUILT),$(CARGO_TARGET_DIR)/release)
nextest  := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

# What a target needs of Debian, beside make and a Rust toolchain.
build_packages := build-essential
deb_packages   := $(build_packages) debhelper dpkg-dev fakeroot
test_packages  := $(deb_packages) chromium chromium-driver curl dbus-daemon dbus-bin debian-archive-keyring fuse3 iproute2 \
	lintian logrotate man-db mandoc mmdebstrap mongrel2-core python3 python3-fusepy python3-websockets python3-zmq slowhttptest systemd-container util-linux wrk
# Apart from them: nginx comes with a service that starts when it is installed.
bench_packages := $(build_packages) mongrel2-core nginx-light python3-zmq slowhttptest wrk
profile_packages := $(bench_packages) curl llvm-19 nghttp2-client openssl python3-websockets

.PHONY: help run test fmt fmt-check lint unit doc deb system-test bench profile setup setup-bench setup-build setup-deb setup-profile clean

help:
	@echo 'make run          serve examples/hello/brim.conf in the foreground, without systemd'
	@echo 'make test         everything: fmt, lint, unit, deb, system-test'
	@echo 'make unit         unit, golden and process tests'
	@echo 'make deb          $(deb)'
	@echo 'make system-test  the package in a booted Debian 12 (as root)'
	@echo 'make bench        compare with nginx, Mongrel2 and a bare hyper server'
	@echo 'make profile      take the profile anew by which the package is built'
	@echo 'make lint         clippy; make fmt: rustfmt'
	@echo 'make setup        install what these need (as root)'

run: setup-build
	$(CARGO) build --locked -p brim-ctl -p brim-http -p brim-launch --bins
	$(CARGO_TARGET_DIR)/debug/brimctl run -c examples/hello/brim.conf

test: setup
	$(MAKE) fmt-check lint unit doc
	$(MAKE) deb
	$(MAKE) system-test

fmt:
	$(CARGO) fmt --all

fmt-check:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

# The target `system` is left out of both: it has `test = false`.
unit:
ifeq ($(nextest),yes)
	$(CARGO) nextest run --locked --workspace --no-fail-fast $(NEXTEST_FLAGS)
else
	$(CARGO) test --locked --workspace --lib --bins --tests
endif

doc:
	$(CARGO) test --locked --workspace --doc --quiet

# The programs are built in this tree, so that what is built already is used; the package in a copy of it.
deb: setup-deb
ifndef BRIM_BUILT
	$(MAKE) -C packaging all
endif
	rm -rf $(deb_dir)/source
	mkdir -p $(deb_dir)/source
	cp -a LICENSE debian packaging systemd $(deb_dir)/source/
	cd $(deb_dir)/source && BRIM_BUILT=$(built) dpkg-buildpackage -b -us -uc
	rm -rf $(deb_dir)/source
	@echo $(deb)

system-test: setup
	@test -f $(deb) || $(MAKE) deb
	BRIM_DEB=$(deb) BRIM_RETRIES=$(SYSTEM_RETRIES) $(CARGO) test --locked --workspace --test system

# PARTS="small tls" measures only these; bench/README.md lists them. Programs and peers are those of this tree.
bench: setup-bench
	$(MAKE) -C packaging all BRIM_BUILT=
	$(CARGO) build --locked --release -p brim-bench --bins
	$(CARGO_TARGET_DIR)/release/brim-bench $(PARTS)

profile: setup-profile
	$(MAKE) -C packaging profile

# Installs by apt what is missing of the packages named; says what to do when not root.
define install
	@missing=; for package in $(1); do \
		dpkg-query -W -f '$${db:Status-Abbrev}' $$package 2>/dev/null | grep -q ^.i || missing="$$missing $$package"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then echo "to be installed, as root:$$missing (make setup)" >&2; exit 1; fi; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get update --quiet=2 && apt-get install --yes --quiet=2 --no-install-recommends $$missing
endef

define need_cargo
	@command -v $(CARGO) >/dev/null || { echo 'cargo is not in PATH: install Rust first, see https://rustup.rs' >&2; exit 1; }
endef

setup:
	$(need_cargo)
	$(call install,$(test_packages))

setup-bench:
	$(need_cargo)
	$(call install,$(bench_packages))

setup-profile:
	$(need_cargo)
	$(call install,$(profile_packages))

setup-build:
	$(need_cargo)
	$(call install,$(build_packages))

setup-deb:
	$(need_cargo)
	$(call install,$(deb_packages))

clean:
	$(CARGO) clean
