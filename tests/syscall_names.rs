//! Names of system calls, against the kernel's own headers. Needs a C preprocessor and the headers
//! (gcc, linux-libc-dev), which whoever builds the crate has.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use ebph::{Abi, Symbol};

/// What arm64 defines before it includes the table that is common to new architectures.
const ARM64: &str = "\
#define __BITS_PER_LONG 64
#define __ARCH_WANT_RENAMEAT
#define __ARCH_WANT_NEW_STAT
#define __ARCH_WANT_SET_GET_RLIMIT
#define __ARCH_WANT_TIME32_SYSCALLS
#define __ARCH_WANT_SYS_CLONE3
#define __ARCH_WANT_MEMFD_SECRET
#include <asm-generic/unistd.h>
";

/// Not calls: where an architecture's own begin, and how many there are.
const NOT_CALLS: [&str; 2] = ["arch_specific_syscall", "syscalls"];

/// Numbers by name, as the preprocessor has them after `source`.
fn numbers(source: &str) -> BTreeMap<String, u32> {
    let mut child = Command::new("cc")
        .args(["-E", "-dM", "-x", "c", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs cc (gcc)");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(source.as_bytes()).expect("cc reads");
    drop(input);
    let output = child.wait_with_output().expect("it is our child");
    assert!(output.status.success(), "no headers: linux-libc-dev");
    let text = String::from_utf8(output.stdout).expect("headers are ASCII");
    let macros: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("#define ")?.split_once(' '))
        .collect();
    let mut numbers = BTreeMap::new();
    for (name, value) in &macros {
        let Some(call) = name.strip_prefix("__NR_") else {
            continue;
        };
        // Some are named after another macro, which has the number.
        let value = macros.get(value).unwrap_or(value);
        if let (Ok(number), false) = (value.parse(), NOT_CALLS.contains(&call)) {
            numbers.insert(call.to_owned(), number);
        }
    }
    numbers
}

/// Every call of the header has its number under that name, and that number has a name which is
/// the call's, or another of its names.
#[track_caller]
fn assert_agree(abi: Abi, source: &str) {
    let numbers = numbers(source);
    assert!(numbers.len() > 250, "{abi}: only {} calls", numbers.len());
    for (name, &number) in &numbers {
        let symbol = Symbol::new(abi, number);
        // A header that is newer than this crate may have more.
        if symbol.name() == format!("call_{number}") {
            assert!(number > 462, "{abi}: {name}, {number}, has no name");
            continue;
        }
        let found = Symbol::from_name(abi, name);
        assert_eq!(found, Some(symbol), "{abi}: {name} is {number}");
        let back = Symbol::from_name(abi, &symbol.name());
        assert_eq!(back, Some(symbol), "{abi}: {name} and {}", symbol.name());
    }
}

/// Check the calls of arm64, on any machine: its table is the common one.
#[test]
fn of_arm64() {
    assert_agree(Abi::Aarch64, ARM64);
    let openat = Symbol::from_name(Abi::Aarch64, "openat").expect("arm64 has it");
    assert_eq!(openat.number(), 56);
}

/// Check the calls of x86_64, and of its 32-bit programs.
#[cfg(target_arch = "x86_64")]
#[test]
fn of_x86() {
    assert_agree(Abi::X86_64, "#include <asm/unistd_64.h>\n");
    assert_agree(Abi::I386, "#include <asm/unistd_32.h>\n");
}
