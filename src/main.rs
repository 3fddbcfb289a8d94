//! The `coffer` command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// glibc's allocator keeps what a burst of logins (19 MiB each) once took; this one gives it back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    coffer::cli::main()
}
