# goleapai-ws. `make` alone lists the targets.

SWIFT ?= swift
# Without an index of the C library's headers, which nobody asks for, tests build in half the time.
DEBUG = -Xswiftc -index-ignore-system-modules
RELEASE = --configuration release --static-swift-stdlib --disable-local-rpath -Xlinker -z -Xlinker relro -Xlinker -z -Xlinker now
BINARY = .build/release/goleapai-ws
PYTHON = .venv/bin/python
export GOLEAPAI_WS_COMMIT ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)

DESTDIR =
prefix = /usr
# Debian 12 has units outside of /usr; elsewhere they are where a prefix has them.
unitdir = $(if $(filter /usr,$(prefix)),/lib/systemd/system,$(prefix)/lib/systemd/system)
MAN = .build/man
INSTALL = install -m 644

.PHONY: help deps test-deps build release run man install deb test unit integration test-system conformance fuzz bench tsan asan prove prove-root lint format clean

help:           ## this list
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 16

deps:           ## install the Debian packages that are missing
	@.ci/packages build

test-deps:
	@.ci/packages test

build: deps     ## debug build
	$(SWIFT) build $(DEBUG)

release: deps   ## release build, the Swift runtime linked in
# SwiftPM does not link anew because of another flag of the linker.
	@echo '$(RELEASE)' | cmp -s - .build/release.flags || rm -f $(BINARY) .build/release/EchoTarget
	$(SWIFT) build $(RELEASE)
	@echo '$(RELEASE)' >.build/release.flags

run: release    ## build and start the demo: a gateway of its own, on port 8080
	$(BINARY) serve --demo

man: release    ## man pages and completions, as the program writes them, in .build/man
	@rm -rf $(MAN) && mkdir -p $(MAN)
	@for command in $$($(BINARY) help --generate commands); do \
		$(BINARY) help --generate man $$command >$(MAN)/goleapai-ws-$$command.1 || exit 1; done
	@$(BINARY) help --generate man >$(MAN)/goleapai-ws.1
	@$(BINARY) help --generate man-config >$(MAN)/goleapai-ws.yaml.5
	@$(BINARY) help --generate man-daemon >$(MAN)/goleapai-ws.8
	@for shell in bash zsh fish; do $(BINARY) help --generate complete-$$shell >$(MAN)/complete.$$shell || exit 1; done

install: man    ## install everything below $(DESTDIR)$(prefix); also what the Debian package holds
	install -D $(BINARY) $(DESTDIR)$(prefix)/bin/goleapai-ws
	$(INSTALL) -D etc/goleapai-ws/config.yaml $(DESTDIR)/etc/goleapai-ws/config.yaml
	install -d $(DESTDIR)$(unitdir) $(addprefix $(DESTDIR)$(prefix)/share/,man/man1 man/man5 man/man8 doc/goleapai-ws/docs)
	sed 's,/usr/bin/goleapai-ws,$(prefix)/bin/goleapai-ws,' systemd/goleapai-ws.service >$(DESTDIR)$(unitdir)/goleapai-ws.service
	chmod 644 $(DESTDIR)$(unitdir)/goleapai-ws.service
	$(INSTALL) systemd/goleapai-ws.socket $(DESTDIR)$(unitdir)
	$(INSTALL) -D systemd/goleapai-ws.sysusers $(DESTDIR)$(prefix)/lib/sysusers.d/goleapai-ws.conf
	$(INSTALL) -D systemd/goleapai-ws.catalog $(DESTDIR)$(prefix)/lib/systemd/catalog/goleapai-ws.catalog
	$(INSTALL) $(MAN)/*.1 $(DESTDIR)$(prefix)/share/man/man1
	$(INSTALL) $(MAN)/*.5 $(DESTDIR)$(prefix)/share/man/man5
	$(INSTALL) $(MAN)/*.8 $(DESTDIR)$(prefix)/share/man/man8
	$(INSTALL) -D $(MAN)/complete.bash $(DESTDIR)$(prefix)/share/bash-completion/completions/goleapai-ws
	$(INSTALL) -D $(MAN)/complete.zsh $(DESTDIR)$(prefix)/share/zsh/vendor-completions/_goleapai-ws
	$(INSTALL) -D $(MAN)/complete.fish $(DESTDIR)$(prefix)/share/fish/vendor_completions.d/goleapai-ws.fish
	$(INSTALL) README.md CHANGELOG.md $(DESTDIR)$(prefix)/share/doc/goleapai-ws
	$(INSTALL) docs/*.md $(DESTDIR)$(prefix)/share/doc/goleapai-ws/docs

deb: man        ## the Debian package, in dist/
	@.ci/packages package
	packaging/build-deb.sh

# What uses the daemon mostly waits, so two of these go on side by side; what compiles does not wait.
test: lint unit deb .venv/ready ## everything that CI runs
	@.ci/packages system
	$(MAKE) --jobs=2 --output-sync=target integration test-system conformance

unit: deps test-deps ## tests of the modules
	$(SWIFT) test $(DEBUG) --disable-xctest

integration: release .venv/ready ## the built daemon through real sockets
	$(PYTHON) -m pytest Tests/Integration -q -n 6

test-system: deb .venv/ready ## the daemon as a unit beside a real journald, and the package, in a systemd of their own; needs root or sudo
	@.ci/packages system
	$(PYTHON) -m pytest Tests/System -q

conformance: release .venv/ready ## the Autobahn cases against the daemon's connection code
	.ci/conformance

fuzz: deps      ## parsers against random input, longer than in `make test`
	GOLEAPAI_WS_FUZZ_ROUNDS=200000 $(SWIFT) test $(DEBUG) --disable-xctest --filter '[Ff]uzz|ProtocolTests|JournalCursorTests'

tsan: deps test-deps ## unit tests, and the daemon under the integration tests, under the thread sanitizer
	$(SWIFT) test $(DEBUG) --disable-xctest --sanitize=thread --scratch-path .build-tsan
	$(MAKE) .venv/ready
	$(SWIFT) build $(DEBUG) --sanitize=thread --scratch-path .build-tsan
	MEMORY_FACTOR=10 $(PYTHON) -m pytest Tests/Integration -q -n 3 --instrumented --binary .build-tsan/debug/goleapai-ws

asan: deps test-deps ## unit tests, and the daemon under the integration tests, under the address sanitizer
	$(SWIFT) test $(DEBUG) --disable-xctest --sanitize=address --scratch-path .build-asan
	$(MAKE) .venv/ready
	$(SWIFT) build $(DEBUG) --sanitize=address --scratch-path .build-asan
	MEMORY_FACTOR=8 ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=8 \
		$(PYTHON) -m pytest Tests/Integration -q -n 3 --instrumented --binary .build-asan/debug/goleapai-ws

bench: release .venv/ready .build/floor ## measure the release build beside the floor, and write docs/PERFORMANCE.md; BENCH='--only A,B' (Tests/Bench/run.py --help)
	$(PYTHON) Tests/Bench/run.py $(BENCH)

.build/floor: Tests/Bench/floor.c
	@mkdir -p .build
	$(CC) -O2 -Wall -Wextra -o $@ $< -lcrypto

prove: deb .venv/ready ## the long proofs: minutes of load, conformance, the sanitizers
	$(PYTHON) -m pytest Tests/Integration -q --long
	@.ci/packages system
	$(PYTHON) -m pytest Tests/System -q --long
	.ci/conformance all
	$(MAKE) tsan asan

prove-root:     ## both commands of the README in a minimal Debian root
	.ci/minimal-root

lint: test-deps ## imports against the module table, and the style of the sources
	.ci/tidy

format:         ## rewrite the sources in the project's style
	$(SWIFT) format --in-place --recursive --parallel --configuration .ci/swift-format.json Sources Tests

clean:          ## remove everything that was built
	rm -rf .build .build-* .venv dist

.venv/ready: Tests/Integration/requirements.txt
	.ci/packages test
	python3 -m venv .venv
	$(PYTHON) -m pip install --quiet --requirement $<
	touch $@
