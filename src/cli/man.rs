//! `coffer man`: manual pages, made of what `--help` says.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::output::{deliver, tell};
use super::version::COMMIT;
use super::{AnyError, Cli};

/// Where manual pages of programs stand.
const SECTION: u8 = 1;

/// Prints coffer(1), or writes the pages of all commands into a directory, which is made if it is not there.
pub fn run(directory: Option<&Path>) -> Result<ExitCode, AnyError> {
    let command = root();
    let Some(directory) = directory else {
        deliver(page(command)?.trim_end())
            .map_err(|error| format!("the page cannot be written to standard output: {error}"))?;
        return Ok(ExitCode::SUCCESS);
    };
    let place = directory.display();
    fs::create_dir_all(directory).map_err(|error| format!("{place}: the directory cannot be made: {error}"))?;
    let mut pages = Vec::new();
    collect(command, &mut pages)?;
    for (name, text) in &pages {
        let file = directory.join(format!("{name}.{SECTION}"));
        fs::write(&file, text).map_err(|error| format!("{}: the page cannot be written: {error}", file.display()))?;
    }
    tell(format_args!("{place}: {} pages", pages.len()));
    Ok(ExitCode::SUCCESS)
}

/// The usage would name all settings, one after the other.
fn root() -> Command {
    let mut command = Cli::command().disable_help_subcommand(true).override_usage("coffer [OPTIONS] [COMMAND]");
    command.build();
    command
}

/// The page of a command, then those of the commands below it. Every command takes every setting: only the first page
/// describes them.
fn collect(command: Command, pages: &mut Vec<(String, String)>) -> Result<(), AnyError> {
    let below: Vec<Command> = command.get_subcommands().cloned().collect();
    pages.push((name_of(&command), page(command)?));
    for command in below {
        let command = command.mut_args(|argument| match argument.is_global_set() {
            true => argument.hide(true),
            false => argument,
        });
        collect(command.after_help("Every setting of coffer(1) can be given here, too."), pages)?;
    }
    Ok(())
}

/// `coffer-admin-key-create`.
fn name_of(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(command: Command) -> Result<String, AnyError> {
    let source = concat!("coffer ", env!("CARGO_PKG_VERSION"));
    // The commit's, which stands behind its hash. An argument of nothing at all would be left out.
    let date =
        COMMIT.split_once(' ').map(|(_, date)| date).filter(|date| date.starts_with(|c: char| c.is_ascii_digit()));
    let mut text = Vec::new();
    let page =
        Man::new(command).section(SECTION.to_string()).date(date.unwrap_or(" ")).source(source).manual("Coffer manual");
    page.render(&mut text)?;
    Ok(String::from_utf8(text)?)
}
