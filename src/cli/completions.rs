//! `coffer completions`: the script by which a shell completes what is typed after `coffer`.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::output::deliver;
use super::{AnyError, Cli};

pub fn run(shell: Shell) -> Result<ExitCode, AnyError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "coffer", &mut script);
    deliver(String::from_utf8(script)?.trim_end())
        .map_err(|error| format!("the script cannot be written to standard output: {error}"))?;
    Ok(ExitCode::SUCCESS)
}
