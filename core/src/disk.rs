//! Room on the disk: while less is free than a reserve, nothing is written that makes the books grow, so that the bank
//! can still be read, signed in to, and tidied up.
//!
//! It is measured beside the requests, a few times a second; they only read a flag.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::db::errors::Failure;

/// Once reached, the reserve counts as reached until this many bytes more are free (less for a small reserve), so that
/// the log gets one line each way, not many.
const SLACK: u64 = 16 << 20;
const SLACK_PART: u64 = 16;

/// How much is free on the disk that has this file or directory, in bytes, for users other than root. Blocks for as long as
/// the file system takes.
pub fn free_bytes(place: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(place)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Clones share what is known.
#[derive(Clone, Default)]
pub struct DiskReserve(Arc<Inner>);

/// The reserve is reached.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the disk has less room than its reserve")]
pub struct DiskFull;

#[derive(Default)]
struct Inner {
    /// A file on the disk. None when it cannot be seen from here: PostgreSQL's.
    file: Option<PathBuf>,
    bytes: u64,
    is_reached: AtomicBool,
    cannot_tell: AtomicBool,
}

impl DiskReserve {
    /// `file` is on the disk that is to keep `bytes` free. 0 bytes are never too few: then its room is only measured.
    pub fn new(file: Option<&Path>, bytes: u64) -> Self {
        Self(Arc::new(Inner { file: file.map(Path::to_owned), bytes, ..Inner::default() }))
    }

    /// Call it before anything that makes the books grow and can wait.
    pub fn refuse_if_reached(&self) -> Result<(), DiskFull> {
        if self.is_reached() { Err(DiskFull) } else { Ok(()) }
    }

    pub fn is_reached(&self) -> bool {
        self.0.is_reached.load(Ordering::Relaxed)
    }

    /// Measures how much is free. Blocks for as long as the file system takes.
    pub fn measure(&self) {
        let Inner { file: Some(file), bytes, is_reached, cannot_tell } = &*self.0 else { return };
        let free = match free_bytes(file) {
            Ok(free) => free,
            Err(error) => {
                if !cannot_tell.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, file = %file.display(), "cannot tell how much room the disk has");
                }
                return;
            }
        };
        cannot_tell.store(false, Ordering::Relaxed);
        let was_reached = is_reached.load(Ordering::Relaxed);
        let needed = if was_reached { bytes.saturating_add(SLACK.min(bytes / SLACK_PART)) } else { *bytes };
        let is_short = free < needed;
        is_reached.store(is_short, Ordering::Relaxed);
        metrics::gauge!("coffer_disk_free_bytes").set(free as f64);
        metrics::gauge!("coffer_disk_reserve_reached").set(u8::from(is_short));
        if is_short && !was_reached {
            tracing::error!(
                free,
                reserve = bytes,
                "{} No movement is booked until there is more room (COFFER_DISK_RESERVE)",
                Failure::DiskFull.in_words()
            );
        } else if was_reached && !is_short {
            tracing::info!(free, reserve = bytes, "the disk has room again: movements are booked");
        }
    }
}
