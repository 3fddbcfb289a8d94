//! Files that only their owner should read: the books, secrets, keys.
//!
//! The bank makes its own files with mode 0600, and narrows them to that when a copy or a restored backup has widened
//! it. Files that somebody else has made (`.env`, a TLS key) may be meant for a group: it only warns of those.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The widest mode that a file may have: its owner reads and writes it.
const OWNERS: u32 = 0o600;
const MODE: u32 = 0o7777;
/// The endings of the files that SQLite has beside a database file.
const SQLITE_SIDE_FILES: [&str; 3] = [SQLITE_LOG, "-shm", SQLITE_JOURNAL];
const SQLITE_LOG: &str = "-wal";
const SQLITE_JOURNAL: &str = "-journal";
/// As many links as Linux follows.
const MAX_LINKS: usize = 40;

/// Takes all rights on these files of the bank from everybody but their owner. Says which it has narrowed, and warns of
/// one that cannot be. Opens none of them: closing a SQLite file would drop the locks that this process has on it.
pub fn narrow<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) {
    for file in files {
        let path = file.as_ref();
        let Some(mode) = wider_mode(path) else { continue };
        let narrower = mode & OWNERS;
        match fs::set_permissions(path, Permissions::from_mode(narrower)) {
            Ok(()) => {
                let path = path.display();
                tracing::warn!("{path} had mode {mode:04o}: others could open it; it has {narrower:04o} now");
            }
            Err(error) => warn(path, mode, Some(&error)),
        }
    }
}

/// Warns of each of these files, which are not the bank's, that others may open.
pub fn warn_of_wide<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) {
    for file in files {
        let path = file.as_ref();
        if let Some(mode) = wider_mode(path) {
            warn(path, mode, None);
        }
    }
}

/// A SQLite database file and what may lie beside it.
pub fn of_sqlite(path: &Path) -> impl Iterator<Item = PathBuf> {
    std::iter::once(path.to_owned()).chain(beside_sqlite(path))
}

/// What may lie beside a SQLite database file.
pub fn beside_sqlite(path: &Path) -> [PathBuf; 3] {
    SQLITE_SIDE_FILES.map(|suffix| with_suffix(path, suffix))
}

/// The write-ahead log of a SQLite database file.
pub fn log_of_sqlite(path: &Path) -> PathBuf {
    with_suffix(path, SQLITE_LOG)
}

/// The file that a path leads to, whether it is there yet or not. SQLite follows links, and looks for a log beside that file.
pub fn behind_links(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        // An absolute one takes the place of all.
        path = directory_of(&path).join(target);
    }
    path
}

/// The logs beside a SQLite database file, without which it may lack what was committed.
pub fn logs_of_sqlite(path: &Path) -> impl Iterator<Item = PathBuf> {
    let logs = [SQLITE_LOG, SQLITE_JOURNAL].map(|suffix| with_suffix(path, suffix));
    logs.into_iter().filter(|log| fs::metadata(log).is_ok_and(|log| log.len() > 0))
}

/// Makes the names in a file's directory durable: a file that was synced may still lose its name in a power cut.
pub fn sync_directory_of(file: &Path) -> io::Result<()> {
    File::open(directory_of(file))?.sync_all()
}

/// The directory that a file is in, or is to be in: `.` for a bare name.
pub fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn warn(path: &Path, mode: u32, error: Option<&io::Error>) {
    let path = path.display();
    let because = error.map(|error| format!(" ({error})")).unwrap_or_default();
    tracing::warn!(
        "{path} has mode {mode:04o}: others can open it{because}. Close it to them with: chmod 600 '{path}'"
    );
}

/// The mode of a file that gives anybody more than [`OWNERS`]. None when it does not, or there is no such file.
fn wider_mode(path: &Path) -> Option<u32> {
    let metadata = fs::metadata(path).ok().filter(|metadata| metadata.is_file())?;
    let mode = metadata.permissions().mode() & MODE;
    (mode & !OWNERS != 0).then_some(mode)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_the_mode_was_only_the_owner_is_left_and_gains_nothing(mode in 0u32..0o10000) {
            let directory = tempfile::TempDir::new().expect("a directory");
            let path = directory.path().join("file");
            fs::write(&path, "secret").expect("a file");
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("a mode");
            // A system may refuse some bits by itself.
            let before = fs::metadata(&path).expect("a file").permissions().mode() & MODE;
            narrow([&path]);
            let after = fs::metadata(&path).expect("a file").permissions().mode() & MODE;
            prop_assert_eq!(after, before & OWNERS);
            prop_assert!(wider_mode(&path).is_none());
        }
    }

    #[test]
    fn links_are_followed_to_files_that_are_there_and_to_those_that_are_not() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("disk")).expect("a directory");
        std::os::unix::fs::symlink("disk/bank.db", at("relative")).expect("a link");
        std::os::unix::fs::symlink(at("relative"), at("absolute")).expect("a link");
        std::os::unix::fs::symlink("circle", at("circle")).expect("a link");
        for _ in 0..2 {
            assert_eq!(behind_links(&at("absolute")), at("disk/bank.db"));
            assert_eq!(behind_links(&at("disk/bank.db")), at("disk/bank.db"));
            fs::write(at("disk/bank.db"), "the books").expect("a file");
        }
        assert_eq!(behind_links(&at("circle")), at("circle"));
    }

    #[test]
    fn what_is_not_there_and_what_is_no_file_is_left_alone() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let before = fs::metadata(directory.path()).expect("a directory").permissions().mode();
        narrow([directory.path(), &directory.path().join("missing")]);
        assert_eq!(fs::metadata(directory.path()).expect("a directory").permissions().mode(), before);
    }
}
