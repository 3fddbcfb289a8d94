//! `coffer copy`: carries a whole bank to another database.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use secrecy::SecretString;

use crate::config::{ConfigError, Settings};
use crate::copy;
use crate::doctor::database;
use crate::server::ServerError;
use coffer_core::db::claim::Claim;
use coffer_core::db::{Db, DbTarget};

use super::output::{complain, tell};
use super::{AnyError, with_current_tables};

/// How often progress is told to who is not at a terminal.
const TELL_EVERY: Duration = Duration::from_secs(5);

pub async fn run(settings: &Settings, from: Option<SecretString>, to: SecretString) -> Result<ExitCode, AnyError> {
    let at = |url: Option<SecretString>| Settings { database_url: url, ..settings.clone() };
    let wrong_in = |flag: &'static str| move |error: ConfigError| format!("{flag}: {error}");
    let (from, to) = (at(from.or_else(|| settings.database_url.clone())), at(Some(to)));
    let from = from.database(false).map_err(wrong_in("--from"))?;
    let source_place = from.target.place();
    let target_place = to.database_target(false).map_err(wrong_in("--to"))?.place();
    if source_place == target_place {
        return Err("--from and --to name the same database".into());
    }
    if let DbTarget::Sqlite(file) = &from.target
        && Claim::is_held_on(file.get_filename())
    {
        complain(
            "A server books on the source. The copy has the books as of now: what is booked from here on stays behind. Stop the \
             server first if you mean to move.",
        );
    }
    let source = Db::connect_to_examine(&from).await.map_err(|error| format!("--from: {error}"))?;
    let source = with_current_tables(source, &from).await?;
    if let Some(file) = source.file() {
        database::refuse_without_log(file).map_err(|why| format!("the source is not whole: {why}"))?;
    }
    // From here on the target's file is there.
    let to = to.database(true).map_err(wrong_in("--to"))?;
    let _claim = Claim::on(&to.target).map_err(ServerError::from)?;
    let target = Db::connect(&to).await.map_err(|error| format!("--to: {error}"))?;
    let started = Instant::now();
    let mut telling = Telling::new();
    let copied = copy::copy(&source, &target, &mut |written, total| telling.tell(written, total)).await;
    source.close().await;
    target.close().await;
    telling.end();
    let figures = copied.map_err(|error| {
        let advice = if error.may_pass() { ". The same command goes on from there" } else { "" };
        format!("the copy to {target_place} is not done: {error}{advice}")
    })?;
    let of = |table: &str| figures.rows.get(table).copied().unwrap_or_default();
    tell(format_args!(
        "Copied {source_place} to {target_place} in {:.1} s: {} accounts, {} transactions, {} entries. Numbers, balances and \
         chains agree, and the doctor finds both right.",
        started.elapsed().as_secs_f64(),
        of("accounts"),
        of("transactions"),
        of("entries"),
    ));
    tell(format_args!("Heads: {}", figures.heads));
    tell("The secrets stay as they are: serve it with the same data directory or the same variables.");
    Ok(ExitCode::SUCCESS)
}

/// A line that is written over on a terminal, and one now and then elsewhere.
struct Telling {
    is_terminal: bool,
    told: Option<Instant>,
}

impl Telling {
    fn new() -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), told: None }
    }

    fn end(&self) {
        if self.is_terminal {
            complain("");
        }
    }

    fn tell(&mut self, written: u64, total: u64) {
        if self.is_terminal {
            let _ = write!(std::io::stderr(), "\r{written} of {total} rows copied ");
        } else if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            complain(format_args!("{written} of {total} rows copied"));
            self.told = Some(Instant::now());
        }
    }
}
