# SPDX-License-Identifier: BSD-2-Clause
.DEFAULT_GOAL := help
.PHONY: help deps test-deps demo test test-unit test-live test-kernels test-arm64 instructions detection fuzz miri lint fmt verifier package minimal-versions deny bench bench-report figures

CARGO ?= cargo

# Tests and the demo load BPF programs. Unless run by root, cargo builds as the
# user and starts what it built through sudo.
ifneq ($(shell id -u),0)
TRIPLE := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
export CARGO_TARGET_$(TRIPLE)_RUNNER ?= sudo -E
endif

C_SOURCES = $(wildcard src/bpf/*.[ch] include/ebph/*.h include/vmlinux/*.h tests/programs/*.[ch] examples/programs/*.[ch] benches/*.[ch] benches/*/*.[ch])

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

deps: ## install what the build needs (Debian, Ubuntu; names it elsewhere)
	@scripts/deps.sh

test-deps: ## install what the tests need besides
	@scripts/deps.sh tests

demo: deps ## learn a small program, then catch it doing something else
	@scripts/demo.sh

test: test-deps ## every test: unit, documentation, differential, live kernel
	$(CARGO) build --locked --examples
	$(CARGO) test --locked

test-unit: test-deps ## the tests that need no privileges
	$(CARGO) build --locked --example monitor
	$(CARGO) test --locked --lib --example monitor
	$(CARGO) test --locked --test corpora --test formats --test inspect_cli --test bench_report
	$(CARGO) test --locked --doc

test-live: test-deps ## the live kernel tests alone
	$(CARGO) build --locked --examples
	$(CARGO) test --locked --test live

# The kernels, by the beginnings of their releases; `host` is the one that runs here.
KERNELS ?= 5.10 6.1 6.1:without-bpf-lsm 6.12 6.18 7 7:without-bpf-lsm host
KERNELS_ARM64 ?= 6.1 7
test-kernels: test-deps ## the live tests on other kernels, emulated: KERNELS="6.1 7", TESTS="names of tests"
	@scripts/kernels/test.sh $(KERNELS) -- $(TESTS)

test-arm64: test-deps ## the same on kernels for arm64, cross-compiled: KERNELS_ARM64, TESTS
	@scripts/kernels/test.sh --arch arm64 $(KERNELS_ARM64) -- $(TESTS)

detection: test-deps ## train real services, abuse them, and measure what is detected
	@scripts/detection-deps.sh
	$(CARGO) test --locked --test detection -- $(DETECTION)

# Builds as whoever fuzzes, and runs so: nothing of it needs privileges.
FUZZ_RUNS ?= 10000000
fuzz: deps ## feed made-up bytes to what reads the ring, profiles and traces, and to the detector: FUZZ_RUNS, FUZZ_TARGETS
	env -u CARGO_TARGET_$(TRIPLE)_RUNNER scripts/fuzz.sh $(FUZZ_RUNS) $(FUZZ_TARGETS)

# What touches neither the kernel nor the clock since boot, which Miri does not know.
MIRI ?= detector::tests::learning detector::tests::signals detector::tests::tasks key:: limits:: event::decode
miri: deps ## the pure modules in an interpreter that sees undefined behaviour: MIRI="names of tests"
	env -u CARGO_TARGET_$(TRIPLE)_RUNNER MIRIFLAGS=-Zmiri-disable-isolation PROPTEST_CASES=1 \
		$(CARGO) +nightly miri test --locked --lib -- $(MIRI)

lint: deps ## formatting, clippy, documentation, C formatting, arm64 compile
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --test detection --test kernels --bench report -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps
	clang-format --dry-run -Werror $(C_SOURCES)
	scripts/bpf-compile.sh x86 arm64

fmt: ## format Rust and C
	$(CARGO) fmt
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml
	clang-format -i $(C_SOURCES)

verifier: test-deps ## instructions that the verifier walked, per program
	$(CARGO) test --locked --test live -- --exact verifier::instruction_counts --nocapture

# The kernels that a change is tested on. After a change that is meant: make instructions UPDATE=--update
INSTRUCTIONS ?= 6.1 7
instructions: test-deps ## instructions a call takes and the verifier walks, against benches/instructions.txt
	scripts/instructions.sh $(UPDATE) $(INSTRUCTIONS)

bench: deps ## what a monitored call costs, beside other ways to look at it
	@scripts/bench-deps.sh
	$(CARGO) bench --locked --bench syscall_overhead

# What they record is in target/ebph-bench. The report needs no privileges, and its files are to be
# the user's own.
BENCHES ?= syscall_overhead workloads all_calls scale
bench-report: deps ## measure all that docs/performance.md shows, and write it there: BENCHES="scale"
	@scripts/bench-deps.sh
	@set -e; for bench in $(BENCHES); do $(CARGO) bench --locked --bench $$bench; done
	env -u CARGO_TARGET_$(TRIPLE)_RUNNER $(CARGO) bench --locked --bench report

# Hours: every benchmark, the detection test and all kernels. What each leaves below target is kept, so
# that one part can be measured anew and the rest stays.
figures: ## measure everything the README and docs/performance.md say, and write it there
	$(MAKE) detection
	$(MAKE) test-kernels KERNELS="host 6.1 6.12 6.18 7"
	$(MAKE) bench-report

package: deps ## pack the crate, and build on what was packed from outside
	@scripts/package.sh

minimal-versions: deps ## whether the oldest dependencies that Cargo.toml allows will do
	@scripts/minimal-versions.sh

# The advisories are fetched from the RustSec database on GitHub.
DENY ?= advisories bans licenses sources
deny: ## licences, duplicates, sources and advisories of all dependencies, by cargo-deny: DENY="licenses"
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny --locked check $(DENY)
