//! `coffer --version`: what to name in a report of a fault.

use std::sync::LazyLock;

/// The commit that the program was built from, and its date; empty when that is not known, and `debug build` in those. Set
/// by `build.rs`.
pub const COMMIT: &str = env!("COMMIT_OF_BUILD");

/// `0.1.0 (2289897abc 2026-11-29, SQLite 3.51.1)`.
pub static LONG_VERSION: LazyLock<String> = LazyLock::new(|| {
    let sqlite = format!("SQLite {}", rusqlite::version());
    let parts: Vec<&str> = [COMMIT, &sqlite].into_iter().filter(|part| !part.is_empty()).collect();
    format!("{} ({})", env!("CARGO_PKG_VERSION"), parts.join(", "))
});
