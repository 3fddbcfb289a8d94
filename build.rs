//! Tells cargo which commit the program is made of: `coffer --version` names it.

use std::path::Path;
use std::process::Command;

// Cargo reads it, and stops if it cannot.
#[allow(clippy::print_stdout)]
fn main() {
    println!("cargo:rerun-if-env-changed=COFFER_COMMIT");
    let given = std::env::var("COFFER_COMMIT").ok().filter(|commit| !commit.trim().is_empty());
    // Each commit would compile everything anew, which whoever works on the code should not have to wait for.
    let is_debug = std::env::var("PROFILE").is_ok_and(|profile| profile == "debug");
    let commit = given.or_else(|| if is_debug { Some("debug build".to_owned()) } else { commit_of_checkout() });
    let commit = commit.unwrap_or_default();
    // `cargo run` gives it to the program, too, which would take a name of ours for a misspelt setting.
    println!("cargo:rustc-env=COMMIT_OF_BUILD={}", commit.trim());
}

/// `2289897abc 2026-11-29`. None without git, in an unpacked archive, and in a folder of somebody else's repository.
#[allow(clippy::print_stdout)]
fn commit_of_checkout() -> Option<String> {
    if !git(&["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    let branch = git(&["rev-parse", "--symbolic-full-name", "HEAD"])?;
    // A branch that has not moved since git packed its references has no file of its own.
    for reference in ["HEAD", &branch, "packed-refs"] {
        let file = git(&["rev-parse", "--git-path", reference])?;
        if Path::new(&file).is_file() {
            println!("cargo:rerun-if-changed={file}");
        }
    }
    git(&["show", "--no-patch", "--abbrev=10", "--format=%h %cs", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
