//! Tells cargo that the migrations are in the crate, too: `sqlx::migrate!` embeds them at compile time.

// Cargo reads it.
#[allow(clippy::print_stdout)]
fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
