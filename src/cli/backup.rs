//! `coffer backup` and `coffer restore`.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::backup::{self, BackupError, Contents, restore};
use crate::config::Settings;
use crate::doctor;
use crate::signals::Signals;
use coffer_core::db::heads::Head;
use coffer_core::db::{Db, DbTarget};

use super::output::{complain, tell};
use super::{AnyError, open_existing};

/// For standard output, as other programs have it.
const STANDARD_OUTPUT: &str = "-";

pub async fn make(settings: &Settings, file: &Path) -> Result<ExitCode, AnyError> {
    let is_for_output = file.as_os_str() == STANDARD_OUTPUT;
    if is_for_output && io::stdout().is_terminal() {
        return Err("standard output is a terminal: send the backup to a file or into another program".into());
    }
    let bank = open_existing(settings).await?;
    let mut signals = Signals::catch()?;
    let reserve = settings.disk_reserve.bytes();
    let work = async {
        if is_for_output {
            backup::make_for(&bank, &std::env::temp_dir(), reserve, io::stdout()).await
        } else {
            backup::make(&bank, file, reserve).await
        }
    };
    // Dropped half-way, it takes its draft away.
    let made = tokio::select! {
        made = work => made,
        () = signals.next() => Err(BackupError::Refused("it was broken off".to_owned())),
    };
    bank.close().await;
    let contents = made.map_err(|error| format!("there is no backup: {error}"))?;
    let report =
        describe(&contents, "Done", &if is_for_output { "standard output".into() } else { file.display().to_string() });
    let kept = settings.secrets_beside_backup().map(|secret| format!("  {} ({})", secret.place, secret.lost_without));
    let report = format!("{report}\nNot in it, and to be kept beside it:\n{}\n  the settings", kept.join("\n"));
    if is_for_output {
        complain(report)
    } else {
        tell(report)
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn restore(settings: &Settings, file: &Path, since: &[Head]) -> Result<ExitCode, AnyError> {
    let target = place_of_books(settings)?;
    let mut signals = Signals::catch()?;
    let restored = tokio::select! {
        restored = restore::restore(file, &target, since) => restored,
        () = signals.next() => Err(BackupError::Refused("it was broken off".to_owned())),
    };
    let contents = restored.map_err(|error| format!("nothing was restored: {error}"))?;
    tell(describe(&contents, "Restored", &target.display().to_string()));
    tell_what_is_missing(settings).await?;
    Ok(ExitCode::SUCCESS)
}

/// The file that the settings name; its directory is made if it is the data directory.
fn place_of_books(settings: &Settings) -> Result<PathBuf, AnyError> {
    match settings.place_for_books()? {
        DbTarget::Sqlite(file) => Ok(file.get_filename().to_owned()),
        DbTarget::Postgres(_) => Err("a backup is a SQLite file, and DATABASE_URL (--database-url) names PostgreSQL. Copy it \
                                      there: coffer copy --from sqlite://FILE --to postgres://..., with an empty database"
            .into()),
    }
}

/// Which secrets are not there, and whether those that are there fit.
async fn tell_what_is_missing(settings: &Settings) -> Result<(), AnyError> {
    for secret in settings.secrets_beside_backup() {
        if secret.is_missing() {
            tell(format_args!(
                "Missing: {} ({}). Put it back before the bank is served.",
                secret.place, secret.lost_without
            ));
        }
    }
    let Some(keys) = settings.existing_factor_keys()? else { return Ok(()) };
    let db: Db = open_existing(settings).await?;
    let examined = doctor::examine_secrets(&db, Some(&keys), |finding| {
        if finding.bad > 0 {
            tell(finding);
        }
    })
    .await;
    db.close().await;
    if !examined? {
        tell("The key of the second factors is another one than when these books were written: put that one back.");
    }
    Ok(())
}

fn describe(contents: &Contents, done: &str, place: &str) -> String {
    let Contents { heads, transactions, bytes, took } = contents;
    format!(
        "{done}: {place}, {transactions} transactions, {bytes} bytes, in {:.1} s. The doctor finds the books in it right.\n\
         Heads: {heads}",
        took.as_secs_f64()
    )
}
