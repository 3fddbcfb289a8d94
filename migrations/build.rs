//! Tells cargo that a new migration file means a new binary: `sqlx::migrate!` embeds them at compile time.

// Cargo reads it, and stops if it cannot.
#[allow(clippy::print_stdout)]
fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
