//! Settings from the environment, from a file `.env` and from files with a secret each, made ready for clap.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::io::ErrorKind;

use clap::builder::Resettable;

const FILE: &str = ".env";
const PREFIX: &str = "COFFER_";
/// Ends the name of a variable that says in which file a secret stands, as images of databases have it.
const IN_FILE: &str = "_FILE";
/// How alike two names must be for one to be meant by the other, of 1.
const ALIKE: f64 = 0.85;

/// Reads `.env` in the current directory, then the secrets that stand in files of their own. What is set in the environment
/// already stays as it is; what is set to nothing counts as not set.
pub fn load(command: &clap::Command) -> Result<(), String> {
    let mut settings = read_file()?;
    read_secrets(command, &mut settings)?;
    let lines: String = settings.iter().map(|(name, value)| format!("{name}={}\n", quoted(value))).collect();
    // Only dotenvy sets variables here: to do so is unsafe once there are threads.
    dotenvy::from_read_override(lines.as_bytes()).map_err(|error| explain(&error, ""))
}

/// What `.env` sets and the environment does not.
fn read_file() -> Result<BTreeMap<String, String>, String> {
    let mut settings = BTreeMap::new();
    let text = match std::fs::read_to_string(FILE) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(settings),
        Err(error) => return Err(format!("{FILE} cannot be read: {error}")),
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    for setting in dotenvy::from_read_iter(text.as_bytes()) {
        let (name, value) = setting.map_err(|error| explain(&error, text))?;
        if !value.trim().is_empty() && is_unset(&name) {
            settings.entry(name).or_insert(value);
        }
    }
    Ok(settings)
}

/// Each secret may stand in a file of its own, which the variable with `_FILE` behind its name names: so containers and
/// service managers hand them over.
fn read_secrets(command: &clap::Command, settings: &mut BTreeMap<String, String>) -> Result<(), String> {
    for name in secrets(command) {
        let pointer = format!("{name}{IN_FILE}");
        let in_file = settings.remove(&pointer);
        let (is_given, file) = match env::var(&pointer).ok().filter(|file| !file.trim().is_empty()) {
            Some(file) => (!is_unset(name), file),
            // The environment wins over `.env`.
            None if !is_unset(name) => continue,
            None => (settings.contains_key(name), in_file.unwrap_or_default()),
        };
        if file.is_empty() {
            continue;
        }
        if is_given {
            return Err(format!("{name} and {pointer} are both set: leave one of them out"));
        }
        let secret =
            std::fs::read_to_string(&file).map_err(|error| format!("{pointer}: {file} cannot be read: {error}"))?;
        let secret = secret.trim_end_matches(['\r', '\n']);
        if secret.trim().is_empty() {
            return Err(format!("{pointer}: {file} is empty; it should hold what {name} is to be"));
        }
        settings.insert(name.to_owned(), secret.to_owned());
    }
    Ok(())
}

/// The variables whose value nobody should see.
fn secrets(command: &clap::Command) -> impl Iterator<Item = &str> {
    let arguments = command.get_arguments().filter(|argument| argument.is_hide_env_values_set());
    arguments.filter_map(|argument| argument.get_env()).filter_map(OsStr::to_str)
}

/// The file, if it sets one of these variables to anything: then it holds a secret.
pub fn file_with_secret(command: &clap::Command) -> Option<&'static str> {
    let text = std::fs::read(FILE).ok()?;
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    let secret = |name: &str| secrets(command).any(|secret| secret == name);
    let settings = dotenvy::from_read_iter(text).flatten();
    settings.into_iter().any(|(name, value)| !value.trim().is_empty() && secret(&name)).then_some(FILE)
}

/// As dotenvy reads it back.
fn quoted(value: &str) -> String {
    let mut quoted = String::from('"');
    for sign in value.chars() {
        match sign {
            '\\' | '"' | '$' => quoted.extend(['\\', sign]),
            '\n' => quoted.push_str("\\n"),
            _ => quoted.push(sign),
        }
    }
    quoted.push('"');
    quoted
}

/// Never quotes the line: it may hold a secret, or a piece of one.
fn explain(error: &dotenvy::Error, text: &str) -> String {
    let dotenvy::Error::LineParse(line, _) = error else { return format!("{FILE} cannot be read") };
    // It may be the end of the line alone, and where a quote is not closed, all lines from there on.
    let end = line.trim().lines().next().unwrap_or_default();
    let is_it = |line: &str| !line.trim_start().starts_with('#') && line.trim_end().ends_with(end);
    let before = text.lines().position(is_it).unwrap_or_default();
    let line = text.lines().nth(before).unwrap_or_default();
    let number = before + 1;
    let name = line.split_once('=').map(|(name, _)| name.trim()).filter(|name| is_name_of_setting(name));
    let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
    format!(
        "{FILE}, line {number}{name}: this cannot be read; put a value with spaces or signs in quotes, in single ones if it has a $, and \
         close each quote"
    )
}

fn is_name_of_setting(name: &str) -> bool {
    name == "DATABASE_URL"
        || has_prefix(name) && name.bytes().all(|sign| matches!(sign, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
}

/// Compose files and shells often set a variable to nothing where they mean to leave it out.
fn is_unset(name: impl AsRef<OsStr>) -> bool {
    env::var_os(name).is_none_or(|value| value.to_str().is_some_and(|value| value.trim().is_empty()))
}

/// Takes the variables that are set to nothing from the arguments that would read them.
pub fn without_empty_variables(command: clap::Command) -> clap::Command {
    command.mut_args(|argument| match argument.get_env() {
        Some(name) if env::var_os(name).is_some() && is_unset(name) => argument.env(Resettable::Reset),
        _ => argument,
    })
}

/// For what depends on no settings.
pub fn without_variables(command: clap::Command) -> clap::Command {
    command.mut_args(|argument| argument.env(Resettable::Reset))
}

/// What to say about each variable that looks like a setting and is none. Never its value.
pub fn unknown_variables(command: &clap::Command) -> Vec<String> {
    let known: Vec<&str> =
        command.get_arguments().filter_map(|argument| argument.get_env()).filter_map(OsStr::to_str).collect();
    let names_file = |name: &str| name.strip_suffix(IN_FILE).is_some_and(|name| secrets(command).any(|it| it == name));
    let mut names: Vec<String> = env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    names.sort_unstable();
    let is_in_kubernetes = names.iter().any(|name| name == "KUBERNETES_SERVICE_HOST");
    let is_known = |name: &String| {
        known.contains(&name.as_str()) || names_file(name) || is_in_kubernetes && is_of_kubernetes(name)
    };
    names.retain(|name| has_prefix(name) && !is_known(name));
    names.iter().map(|name| complaint(name, &known)).collect()
}

fn has_prefix(name: &str) -> bool {
    name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// Kubernetes sets these for a service that is called coffer.
fn is_of_kubernetes(name: &str) -> bool {
    ["COFFER_SERVICE_HOST", "COFFER_SERVICE_PORT", "COFFER_PORT"].iter().any(|start| name.starts_with(start))
}

fn complaint(name: &str, known: &[&str]) -> String {
    let bare = |name: &str| {
        let name = name.to_ascii_uppercase();
        name.strip_prefix(PREFIX).map_or_else(|| name.clone(), str::to_owned)
    };
    let likeness = |candidate: &&str| strsim::jaro_winkler(&bare(name), &bare(candidate));
    let nearest = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|nearest| likeness(nearest) >= ALIKE) {
        Some(nearest) => format!("{name} is no setting and changes nothing; {nearest} may be meant"),
        None => format!("{name} is no setting and changes nothing; `coffer --help` lists them all"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_setting_is_recognized() {
        let known = [
            "DATABASE_URL",
            "COFFER_LISTEN",
            "COFFER_LOG",
            "COFFER_LEDGER_WRITERS",
            "COFFER_TLS_CERT",
            "COFFER_TLS_KEY",
        ];
        for (name, meant) in [
            ("COFFER_LISTNE", "COFFER_LISTEN"),
            ("coffer_listen", "COFFER_LISTEN"),
            ("COFFER_DATABASE_URL", "DATABASE_URL"),
            ("COFFER_TLS_CERTIFICATE", "COFFER_TLS_CERT"),
        ] {
            assert!(complaint(name, &known).contains(&format!("; {meant} may")), "{}", complaint(name, &known));
        }
        assert!(complaint("COFFER_ZZZ", &known).contains("--help"));
    }

    #[test]
    fn a_quoted_value_is_read_back() {
        for value in ["plain", "two words", "a\"b'c\\d$e${f}#g", "line\nline", " = "] {
            let line = format!("NAME={}\n", quoted(value));
            let read: Vec<_> = dotenvy::from_read_iter(line.as_bytes()).collect::<Result<_, _>>().expect(value);
            assert_eq!(read, [("NAME".to_owned(), value.to_owned())]);
        }
    }
}
