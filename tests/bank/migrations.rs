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

/// Instances of the release before go on serving while a migration is applied, and after it. This looks for the words that
/// take something away from them; what else they must be able to live with, docs/HACKING.md says.
#[test]
fn a_migration_takes_nothing_away_from_those_who_serve_meanwhile() {
    for file in std::fs::read_dir(Path::new(FOLDER).join("postgres")).expect("a folder") {
        let path = file.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("a file").to_lowercase();
        let lines = text.lines().map(|line| line.split("--").next().unwrap_or_default());
        let script = lines.collect::<Vec<_>>().join(" ");
        for statement in script.split(';').map(|statement| format!("{} ", statement.trim())) {
            assert!(
                !takes_away(&statement),
                "{}: `{statement}` breaks the instances of the release before, which serve while this is applied. Add beside \
                 what there is, with a default, and take away a release after the last program that uses it",
                path.display()
            );
        }
    }
}

fn takes_away(statement: &str) -> bool {
    let begins = |words: &[&str]| words.iter().any(|word| statement.starts_with(word));
    let has = |words: &str| statement.contains(words);
    let is_needed_at_once = has(" add column ") && has(" not null ") && !has(" default ");
    let alters =
        has(" rename ") || has(" drop column ") || has(" set not null ") || has(" type ") && has(" alter column ");
    begins(&["drop table ", "drop schema ", "truncate ", "delete from "])
        || begins(&["alter table "]) && (alters || is_needed_at_once)
}

#[test]
fn words_that_take_away_are_found() {
    for (statement, expected) in [
        ("alter table users add column nickname text ", false),
        ("alter table users add column is_new boolean not null default false ", false),
        ("alter table users add column nickname text not null ", true),
        ("alter table users rename column name to full_name ", true),
        ("alter table users alter column name type varchar(40) ", true),
        ("alter table users alter column name set not null ", true),
        ("alter table users drop column name ", true),
        ("drop table users ", true),
        ("drop trigger tags_refuse_change on tags ", false),
        ("create trigger t before delete or truncate on tags for each statement execute function f() ", false),
    ] {
        assert_eq!(takes_away(statement), expected, "{statement}");
    }
}
