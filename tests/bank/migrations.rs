//! Migrations that have landed stay as they are.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha384};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");

/// Databases remember the checksum of each migration, and are refused when the file has another one. `migrations/checksums`
/// holds them in the format of `sha384sum`, a line for each file.
#[test]
fn a_migration_that_has_landed_is_never_edited() {
    let listed = std::fs::read_to_string(Path::new(FOLDER).join("checksums")).expect("migrations/checksums");
    let listed: BTreeMap<_, _> =
        listed.lines().filter_map(|line| line.split_once("  ")).map(|(sum, file)| (file, sum)).collect();
    let mut files = BTreeMap::new();
    for database in ["sqlite", "postgres"] {
        for file in std::fs::read_dir(Path::new(FOLDER).join(database)).expect("a folder") {
            let file = file.expect("a file");
            let text = std::fs::read(file.path()).expect("a file");
            files.insert(format!("{database}/{}", file.file_name().display()), hex::encode(Sha384::digest(text)));
        }
    }
    for (file, sum) in &files {
        match listed.get(file.as_str()) {
            Some(landed) => assert_eq!(
                sum, landed,
                "migrations/{file} was edited: every database that has it would be refused. Undo that, and say what is to \
                 change in a migration with the next number"
            ),
            None => panic!("migrations/{file} is new: add this line to migrations/checksums\n{sum}  {file}"),
        }
    }
    for file in listed.keys() {
        assert!(files.contains_key(*file), "migrations/{file} is gone: every database that has it would be refused");
    }
}

/// Whoever moves from one database to the other, or asks which version a schema has, counts on it.
#[test]
fn both_databases_have_the_same_migrations() {
    let names = |database: &str| {
        let files = std::fs::read_dir(Path::new(FOLDER).join(database)).expect("a folder");
        let mut names: Vec<_> = files.map(|file| file.expect("a file").file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names("sqlite"), names("postgres"));
}
