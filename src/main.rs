//! The `coffer` command: settings from `.env`, arguments, and the exit code.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::output::complain;
use crate::cli::{Cli, exit_with_usage, explain_dotenv, run};

/// glibc's allocator keeps what a burst of logins (19 MiB each) once took; this one gives it back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Err(error) = dotenvy::from_path(".env")
        && !error.not_found()
    {
        complain(format_args!("coffer: {}", explain_dotenv(&error)));
        return ExitCode::FAILURE;
    }
    let cli = Cli::try_parse().unwrap_or_else(|error| exit_with_usage(&error));
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            complain(format_args!("coffer: {error}"));
            ExitCode::FAILURE
        }
    }
}
