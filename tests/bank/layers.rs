//! Imports lead down: nothing imports a module on its own floor or above it.

use std::fs;
use std::path::{Path, PathBuf};

/// The crates, from the ground up: where their modules are, and by which names code imports them.
const CRATES: [&str; 2] = ["core/src", "src"];
const ROOTS: [&str; 2] = ["crate::", "coffer_core::"];

/// From the ground up. Modules on one floor do not import each other.
const FLOORS: [&[&str]; 21] = [
    &["problem_code", "schema", "by_name", "presence", "sum_of_rows", "tls", "files"],
    &["traces"],
    &["request_ids"],
    &["money", "timestamp", "text"],
    &["bank_account"],
    &["account_number", "clock"],
    &["api_key"],
    // What there is, and what becomes of it: pure.
    &["books"],
    &["db"],
    &["disk", "limits", "listening", "audit", "watches"],
    &["auth", "committer"],
    // From here on the crate `coffer`.
    &["log_lines"],
    &[
        "background",
        "web_origin",
        "signals",
        "process",
        "email",
        "names",
        "connection",
        "webhooks",
        "connection_limits",
    ],
    &["telemetry"],
    &["api", "mailing"],
    &["config", "acceptor", "admin", "demo", "dispatcher", "doctor", "housekeeping", "service_manager"],
    &["copy"],
    &["backup"],
    &["server"],
    &["cli"],
    &["main"],
];

/// Within the API: what all resources share imports none of them.
const SHARED_BY_ALL_GROUPS: &str = "src/api/http/";
const RESOURCE_GROUPS: [&str; 3] = ["api::money", "api::people", "api::docs"];

/// Which crates a floor must do without, whatever it is called in the code.
const STRANGERS: [(&str, &[&str]); 7] = [
    ("core/src/books/", &["axum", "http::", "tokio", "sqlx::query", "Timestamp::now", "rusqlite", "getrandom"]),
    ("core/src/db/", &["axum", "http::"]),
    ("core/src/limits", &["axum", "http::"]),
    ("core/src/auth/", &["axum", "http::"]),
    ("core/src/committer/", &["axum", "http::", "StatusCode"]),
    ("src/webhooks/", &["axum", "sqlx"]),
    ("core/src/money.rs", &["axum", "http::", "tokio", "Timestamp::now"]),
];

#[test]
fn every_import_leads_down() {
    let mut wrong = Vec::new();
    for (path, code) in sources() {
        let own = module_of(&path);
        let floor = floor_of(&own).unwrap_or_else(|| panic!("{path} stands on no floor: add `{own}` to FLOORS"));
        for imported in imports(&code) {
            match floor_of(&imported) {
                Some(other) if other < floor || imported == own => {}
                Some(_) => wrong.push(format!("{path} imports {imported}, which stands no lower than {own}")),
                // A macro, say, that the crate exports.
                None => assert!(!is_module(&imported), "{imported} stands on no floor"),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_all_resources_share_knows_none_of_them() {
    let shared = sources().into_iter().filter(|(path, _)| path.starts_with(SHARED_BY_ALL_GROUPS));
    for (path, code) in shared {
        for group in RESOURCE_GROUPS {
            assert!(!code.contains(&format!("crate::{group}")), "{path} imports {group}");
        }
    }
}

#[test]
fn each_floor_does_without_what_is_not_for_it() {
    for (place, strangers) in STRANGERS {
        let here: Vec<_> = sources().into_iter().filter(|(path, _)| path.starts_with(place)).collect();
        assert!(!here.is_empty(), "there is nothing at {place}");
        for (path, code) in here {
            for stranger in strangers {
                assert!(!code.contains(stranger), "{path} must do without {stranger}");
            }
        }
    }
}

#[test]
fn the_map_names_every_module() {
    for folder in CRATES {
        let map = fs::read_to_string(format!("{folder}/lib.rs")).expect("the map");
        let here = FLOORS.into_iter().flatten().filter(|module| **module != "main" && is_module_in(folder, module));
        let missing: Vec<_> = here.filter(|module| !map.contains(&format!("[`{module}`]"))).collect();
        assert!(missing.is_empty(), "the map in {folder}/lib.rs does not name {missing:?}");
    }
}

/// Path and code of every file, without comments and without tests.
pub fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for folder in CRATES {
        collect(Path::new(folder), &mut files);
    }
    assert!(files.len() > 50, "where is the code?");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source file");
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        (path.to_string_lossy().into_owned(), lines.collect::<Vec<_>>().join("\n"))
    };
    files.into_iter().map(read).collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// `core/src/db/ledger/mod.rs` belongs to `db`.
fn module_of(path: &str) -> String {
    let below = CRATES.into_iter().find_map(|folder| path.strip_prefix(folder)).unwrap_or_default();
    let first = below.split('/').nth(1).unwrap_or_default();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules that the code names from the root of a crate, once each.
fn imports(code: &str) -> Vec<String> {
    let mut names: Vec<String> = ROOTS.into_iter().flat_map(|root| named_after(code, root)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// `crate::a::b` names `a`, and `crate::{a, b::c}` names `a` and `b`.
fn named_after(code: &str, root: &str) -> Vec<String> {
    let names = |rest: &str| match rest.strip_prefix('{').and_then(|list| list.split_once('}')) {
        Some((list, _)) => list.split(',').map(|item| name_at_start(item.trim())).collect(),
        None => vec![name_at_start(rest)],
    };
    code.split(root).skip(1).flat_map(names).filter(|name| !name.is_empty()).collect()
}

fn name_at_start(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_' || c.is_ascii_digit()).collect()
}

fn floor_of(module: &str) -> Option<usize> {
    let module = if module == "lib" { "main" } else { module };
    FLOORS.iter().position(|floor| floor.contains(&module))
}

fn is_module(name: &str) -> bool {
    CRATES.into_iter().any(|folder| is_module_in(folder, name))
}

fn is_module_in(folder: &str, name: &str) -> bool {
    Path::new(&format!("{folder}/{name}.rs")).exists() || Path::new(&format!("{folder}/{name}")).is_dir()
}
