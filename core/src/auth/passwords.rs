//! Passwords: which ones are accepted, and how they are hashed.

use std::cmp::Ordering;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de};
use tokio::runtime::{Handle, Runtime};

use super::hashing::{Asker, HashError, HashQueue};

use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat};

use crate::problem_code::ProblemCode;
use crate::schema::{scalar_schema, string};

/// NIST SP 800-63B: at least 8 characters, and room for a passphrase. The upper end bounds the work of one hash.
pub const MIN_LENGTH: usize = 8;
pub const MAX_LENGTH: usize = 128;
/// Random bytes of a password that the bank generates: 144 bits, 24 characters.
const GENERATED_BYTES: usize = 18;
/// Niceness of threads that hash (nice(2)): beside busy threads they get about a tenth of a core, alone all of it.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Passwords of 8 characters and more that breaches have made common (Royce Williams' list, as Django ships it), lower
/// case, sorted by bytes.
const COMMON_PASSWORDS: &str = include_str!("common_passwords.txt");

/// A password as it was sent: of bounded length, and never printed.
#[derive(Clone, Debug)]
pub struct Password(SecretString);

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let password = Self(SecretString::deserialize(deserializer)?);
        if password.is_too_long() { Err(de::Error::custom(NewPasswordError::TooLong)) } else { Ok(password) }
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// A password that somebody has chosen: neither too short, nor too long, nor common.
#[derive(Clone, Debug)]
pub struct NewPassword(Password);

/// Why a password was not taken. Prints as `code: what to choose instead`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NewPasswordError {
    #[error("{code}: a password has at most {MAX_LENGTH} characters", code = ProblemCode::PasswordTooLong)]
    TooLong,
    #[error("{code}: use at least {MIN_LENGTH} characters; a few unrelated words make a good password", code = ProblemCode::PasswordTooShort)]
    TooShort,
    #[error("{code}: this password is among the first that a guesser tries; choose another", code = ProblemCode::PasswordCommon)]
    Common,
}

impl TryFrom<Password> for NewPassword {
    type Error = NewPasswordError;

    fn try_from(password: Password) -> std::result::Result<Self, NewPasswordError> {
        if password.is_too_long() {
            return Err(NewPasswordError::TooLong);
        }
        if password.expose().chars().count() < MIN_LENGTH {
            return Err(NewPasswordError::TooShort);
        }
        if is_common(&password.expose().to_lowercase()) {
            return Err(NewPasswordError::Common);
        }
        Ok(Self(password))
    }
}

impl From<NewPassword> for Password {
    fn from(new: NewPassword) -> Self {
        new.0
    }
}

impl<'de> Deserialize<'de> for NewPassword {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Self::try_from(Password::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl Password {
    fn is_too_long(&self) -> bool {
        self.expose().chars().count() > MAX_LENGTH
    }

    fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// A new random password.
pub fn generate() -> Result<String, getrandom::Error> {
    let mut bytes = [0; GENERATED_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// How much memory and how many passes a hash of Argon2id takes. The default is OWASP's minimum: 19 MiB, 2 passes, 1 lane.
/// No setting lowers it, only code does.
#[derive(Clone, Debug, Default)]
pub struct HashCost(Params);

impl HashCost {
    /// For tests, which sign up so many people that hashing would take most of their time.
    pub fn least() -> Self {
        Self(Params::new(Params::MIN_M_COST, Params::MIN_T_COST, Params::MIN_P_COST, None).unwrap_or_default())
    }
}

/// Hashes and verifies with Argon2id, off the async threads and never more at once than there are cores: each hash
/// takes 19 MiB, so a crowd of logins must not become a crowd of hashes.
pub struct Passwords {
    /// Decides whose password is hashed next.
    pub queue: HashQueue,
    hashers: Hashers,
    cost: HashCost,
    /// Verified when there is no such user, so that the answer takes as long as for one that exists.
    decoy: String,
}

impl Passwords {
    pub fn new(cost: HashCost) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let (queue, hashers, decoy) = (HashQueue::new(cores), Hashers::start(cores)?, decoy(&cost)?);
        Ok(Self { queue, hashers, cost, decoy })
    }

    /// The PHC string of a new password.
    pub async fn hash(&self, password: Password, asker: &Asker) -> Result<String, HashError> {
        let cost = self.cost.clone();
        self.run(asker, move || hash(password.expose().as_bytes(), cost)).await?.map_err(failed)
    }

    /// Whether `password` is the one behind `phc`. With no `phc` there is no such user: the answer is no, after the
    /// same work.
    pub async fn verify(&self, password: Password, phc: Option<String>, asker: &Asker) -> Result<bool, HashError> {
        let exists = phc.is_some();
        let phc = phc.unwrap_or_else(|| self.decoy.clone());
        let matches = self.run(asker, move || verify(password.expose().as_bytes(), &phc)).await?;
        Ok(matches && exists)
    }

    /// Whether the hash was made with other parameters than a new one would be, and should be made anew at the next
    /// sign-in, when the password is there (OWASP ASVS 5.0 11.4.2).
    pub fn is_outdated(&self, phc: &str) -> bool {
        let today = PasswordHash::new(&self.decoy).map(|phc| (phc.algorithm, phc.version, phc.params)).ok();
        PasswordHash::new(phc).map(|phc| (phc.algorithm, phc.version, phc.params)).ok() != today
    }

    /// Runs `work` on one of the threads for hashing. The core moves along: a client that hangs up frees none that is
    /// still hashing for it.
    async fn run<T: Send + 'static>(
        &self,
        asker: &Asker,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let core = self.queue.wait(asker).await?;
        let hash = move || {
            let _core = core;
            work()
        };
        self.hashers.handle.spawn_blocking(hash).await.map_err(failed)
    }
}

/// The PHC string of a new password, for a command that has the machine to itself.
pub fn hash_now(password: &Password) -> Result<String, HashError> {
    hash(password.expose().as_bytes(), HashCost::default()).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> HashError {
    HashError::Failed(error.to_string())
}

/// Threads for hashing, which yield to those that serve: a flood of sign-ins must not hold up money. Each lasts for
/// some hashes, because one that ends leaves the memory of its last to the allocator for a while, and the next takes
/// other.
struct Hashers {
    handle: Handle,
    /// None only while it is dropped.
    runtime: Option<Runtime>,
}

impl Hashers {
    fn start(threads: usize) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .thread_name("password")
            .max_blocking_threads(threads)
            .on_thread_start(yield_to_others)
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }
}

impl Drop for Hashers {
    fn drop(&mut self) {
        // Without waiting, which nobody may in an async context.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Lowers the priority of this thread alone. (Elsewhere than on Linux it would be that of the process.)
#[cfg(target_os = "linux")]
fn yield_to_others() {
    // A thread may always lower its own; if not, it hashes all the same.
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

#[cfg(not(target_os = "linux"))]
fn yield_to_others() {}

/// With a random salt of 16 bytes.
fn hash(password: &[u8], HashCost(params): HashCost) -> Result<String, argon2::password_hash::Error> {
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password(password)?.to_string())
}

/// A PHC string of these parameters that no password is behind: its hash is random, so nothing needs to be hashed.
fn decoy(HashCost(params): &HashCost) -> Result<String, getrandom::Error> {
    let mut bytes = [0; 48];
    getrandom::fill(&mut bytes)?;
    let (salt, hash) = bytes.split_at(16);
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    let (memory, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    Ok(format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${hash}"))
}

fn verify(password: &[u8], phc: &str) -> bool {
    PasswordHash::new(phc).is_ok_and(|phc| Argon2::default().verify_password(password, &phc).is_ok())
}

/// Whether a new password is the user's own name or address.
pub fn is_own_name(password: &NewPassword, name: &str, email: &str) -> bool {
    let lower = password.0.expose().to_lowercase();
    let local_part = email.split('@').next().unwrap_or_default();
    [email, local_part, &name.to_lowercase()].contains(&&*lower)
}

/// Halves the list, from line to line: a look at every line takes longer than all else that a sign-up needs before its
/// password is hashed, and anybody may ask for that.
fn is_common(lower: &str) -> bool {
    let (text, wanted) = (COMMON_PASSWORDS.as_bytes(), lower.as_bytes());
    let (mut low, mut high) = (0, text.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let start = memchr::memrchr(b'\n', &text[low..middle]).map_or(low, |at| low + at + 1);
        let end = memchr::memchr(b'\n', &text[middle..high]).map_or(high, |at| middle + at);
        match text[start..end].cmp(wanted) {
            Ordering::Equal => return true,
            Ordering::Less => low = end + 1,
            Ordering::Greater => high = start,
        }
    }
    false
}

fn password_schema() -> ObjectBuilder {
    string()
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Password)))
        .max_length(Some(MAX_LENGTH))
        .examples(["correct horse battery staple"])
}

scalar_schema!(Password, "A password.", password_schema());
scalar_schema!(NewPassword, "A password that is not a common one.", password_schema().min_length(Some(MIN_LENGTH)));

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn password(text: &str) -> Password {
        Password(SecretString::from(text))
    }

    #[test]
    fn weak_passwords_are_refused_with_their_reason() {
        for (text, code) in [
            ("short", "password_too_short"),
            ("пароль7", "password_too_short"),
            ("password", "password_common"),
            ("PASSWORD1", "password_common"),
        ] {
            let refused = NewPassword::try_from(password(text)).map(|_| ()).map_err(|error| error.to_string());
            assert!(refused.is_err_and(|error| error.starts_with(code)), "{text}");
        }
        for text in ["correct horse battery staple", &"é".repeat(MAX_LENGTH)] {
            assert!(NewPassword::try_from(password(text)).is_ok(), "{text}");
        }
        assert!(serde_json::from_value::<Password>("é".repeat(MAX_LENGTH + 1).into()).is_err());
        for text in ["Ada Lovelace", "ada.lovelace", "ADA.lovelace@example.com"] {
            let chosen = NewPassword::try_from(password(text)).expect("neither short nor common");
            assert!(is_own_name(&chosen, "Ada Lovelace", "ada.lovelace@example.com"), "{text}");
        }
    }

    #[test]
    fn every_common_password_is_found_and_no_other() {
        let listed: HashSet<&str> = COMMON_PASSWORDS.lines().collect();
        for common in COMMON_PASSWORDS.lines() {
            let without_its_first: String = common.chars().skip(1).collect();
            for text in [common, &format!("{common}~"), &format!("!{common}"), &without_its_first] {
                assert_eq!(is_common(text), listed.contains(text), "{text}");
            }
        }
        assert!(!is_common("") && !is_common("\n"));
    }

    #[test]
    fn hashes_are_argon2id_of_owasp_strength() {
        let phc = hash(b"correct horse battery staple", HashCost::default()).expect("a hash");
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(verify(b"correct horse battery staple", &phc));
        assert!(!verify(b"correct horse battery stable", &phc));
        assert!(!verify(b"anything", "closed"));
        let decoy = decoy(&HashCost::default()).expect("random");
        assert!(PasswordHash::new(&decoy).is_ok(), "{decoy}");
        assert_eq!(
            decoy.rsplit_once('$').map(|(_, hash)| hash.len()),
            phc.rsplit_once('$').map(|(_, hash)| hash.len())
        );
    }
}
