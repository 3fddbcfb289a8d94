//! A database file in the making: under a name of its own until it is known to be good, so that nobody takes it for a backup.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use coffer_core::files;

/// Random bytes in the name: whoever makes a backup to the same name at the same time has another draft.
const RANDOM_BYTES: usize = 6;
const ENDING: &str = ".part";

/// The name of the file that this draft, by its name, is to become; None for what is no draft.
pub fn target_of(draft: &Path) -> Option<String> {
    let name = draft.file_name()?.to_str()?.strip_prefix('.')?.strip_suffix(ENDING)?;
    let (target, random) = name.rsplit_once('.')?;
    (random.len() == 2 * RANDOM_BYTES && random.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| target.to_owned())
}

/// Deleted when dropped, with whatever SQLite has beside it.
#[derive(Debug)]
pub struct Draft(PathBuf);

impl Draft {
    /// Makes an empty file in the directory of `target`, for its owner alone.
    pub fn beside(target: &Path) -> io::Result<Self> {
        let name = target.file_name().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "it names no file"))?;
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random)?;
        let path = target.with_file_name(format!(".{}.{}{ENDING}", name.display(), hex::encode(random)));
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let draft = Self(path);
        draft.give_to_owner_of_directory()?;
        Ok(draft)
    }

    /// A draft that root makes belongs to the owner of its directory, who could not open the file otherwise.
    fn give_to_owner_of_directory(&self) -> io::Result<()> {
        let directory = fs::metadata(files::directory_of(&self.0))?;
        if rustix::process::geteuid().is_root() && directory.uid() != 0 {
            chown(&self.0, Some(directory.uid()), Some(directory.gid()))?;
        }
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Gives the file its name, unless there is such a file already; then it is durable. Every connection to it must be
    /// closed.
    pub fn publish(self, target: &Path) -> io::Result<()> {
        if fs::metadata(files::log_of_sqlite(&self.0)).is_ok_and(|log| log.len() > 0) {
            return Err(io::Error::other("SQLite has left a log beside it"));
        }
        File::open(&self.0)?.sync_all()?;
        rename_to_new(&self.0, target)?;
        // Where no directory can be synced, no name is known to last.
        files::sync_directory_of(target).inspect_err(|_| drop(fs::remove_file(target)))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        for file in files::of_sqlite(&self.0) {
            let _ = fs::remove_file(file);
        }
    }
}

/// A rename would overwrite what is there; a link does not. Some file systems have no links.
fn rename_to_new(draft: &Path, target: &Path) -> io::Result<()> {
    match fs::hard_link(draft, target) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            if target.try_exists()? {
                return Err(ErrorKind::AlreadyExists.into());
            }
            fs::rename(draft, target)
        }
        linked => linked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_takes_no_place_that_is_taken_and_leaves_nothing() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let target = directory.path().join("bank.db");
        let names = || fs::read_dir(directory.path()).expect("a directory").count();
        fs::write(&target, "the books").expect("a file");
        let draft = Draft::beside(&target).expect("a draft");
        assert_eq!((target_of(draft.path()).as_deref(), target_of(&target)), (Some("bank.db"), None));
        fs::write(draft.path(), "other books").expect("written");
        fs::write(draft.path().with_extension("part-shm"), "").expect("written");
        assert_eq!(draft.publish(&target).expect_err("a refusal").kind(), ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&target).expect("a file"), names()), (b"the books".to_vec(), 1));

        fs::remove_file(&target).expect("a file");
        let draft = Draft::beside(&target).expect("a draft");
        fs::write(draft.path(), "other books").expect("written");
        draft.publish(&target).expect("room");
        assert_eq!((fs::read(&target).expect("a file"), names()), (b"other books".to_vec(), 1));
    }
}
