//! The `coffer` command: settings from `.env`, arguments, and the exit code.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

use clap::CommandFactory;

use crate::cli::output::complain;
use crate::cli::{Cli, environment, run};

/// glibc's allocator keeps what a burst of logins (19 MiB each) once took; this one gives it back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Err(error) = environment::load(&Cli::command()) {
        complain(format_args!("coffer: {error}"));
        return ExitCode::FAILURE;
    }
    match run(Cli::read()) {
        Ok(code) => code,
        Err(error) => {
            complain(format_args!("coffer: {error}"));
            ExitCode::FAILURE
        }
    }
}
