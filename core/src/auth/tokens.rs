//! Access tokens: JWTs that say who is calling, for fifteen minutes.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use quick_cache::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock;
use crate::db::sessions::Renewal;
use crate::db::users::Role;
use crate::timestamp::Timestamp;

pub const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// A token is refused at the latest when this much has passed since it was made.
pub const LONGEST_LIFE: Duration = LIFETIME.saturating_add(clock::TOLERANCE);
/// The only algorithm made or accepted: what a token's own header asks for is never followed.
const ALGORITHM: Algorithm = Algorithm::HS256;
/// RFC 9068: an access token says that it is one, so that no other token of ours can pass for it.
const TYPE: &str = "at+jwt";
const ISSUER: &str = "coffer";
const AUDIENCE: &str = "coffer";
/// How long a proof of the password or a code counts for what cannot be taken back.
pub const RECENT: Duration = Duration::from_secs(5 * 60);
/// How long a token counts after it has expired: clocks of two instances may differ by this much.
const LEEWAY: Duration = Duration::from_secs(5);
/// Tokens whose signature is not checked again, of some 700 bytes each: a client sends the same one many times.
const MAX_REMEMBERED: usize = 4_096;

/// The claims of an access token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    aud: String,
    /// The user.
    pub sub: Uuid,
    /// The session: ending it ends the token.
    pub sid: Uuid,
    pub role: Role,
    /// How the session began (RFC 8176).
    #[serde(default)]
    pub amr: Vec<AuthenticationMethod>,
    /// When password or code was last shown in the session, in seconds since 1970 (OpenID Connect Core 2).
    #[serde(default)]
    auth_time: i64,
    /// Own movements above it, in whole units of their currency, ask for a recent proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_above: Option<i64>,
    /// Seconds since 1970.
    iat: i64,
    exp: i64,
    /// Unlike any other token's (RFC 9068 2.2).
    #[serde(default)]
    jti: Uuid,
}

/// RFC 8176.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthenticationMethod {
    /// A password.
    Pwd,
    /// A one-time code, or a recovery code in its place.
    Otp,
    /// Anything else that a later version may know.
    #[serde(other)]
    Other,
}

/// Whom a token is for.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    pub user_id: Uuid,
    pub session_id: Uuid,
    pub role: Role,
    pub second_factor: bool,
    pub proven_at: Timestamp,
    pub confirm_above: Option<i64>,
}

impl From<&Renewal> for Subject {
    fn from(renewal: &Renewal) -> Self {
        let Renewal { user_id, session_id, role, second_factor, proven_at, confirm_above, .. } = *renewal;
        Self { user_id, session_id, role, second_factor, proven_at, confirm_above }
    }
}

/// The keys that access tokens are signed with.
#[derive(Clone, Debug)]
pub struct SigningSecrets {
    pub current: SecretString,
    /// Tokens that it signed still count.
    pub previous: Option<SecretString>,
}

impl Claims {
    pub fn has_second_factor(&self) -> bool {
        self.amr.contains(&AuthenticationMethod::Otp)
    }

    /// Whether password or code was shown within [`RECENT`], and not in the future either.
    pub fn has_recent_proof(&self, now: Timestamp) -> bool {
        let in_seconds = |moment: Timestamp| moment.as_unix_seconds();
        in_seconds(now.minus(RECENT)) < self.auth_time && self.auth_time <= in_seconds(now.plus(clock::TOLERANCE))
    }

    /// Not expired, and not made in the future: a token that was made while the clock was ahead would run for as long
    /// as that. Nor does it run longer than any token does.
    fn counts_at(&self, now: Timestamp) -> bool {
        let in_seconds = |moment: Timestamp| moment.as_unix_seconds();
        in_seconds(now.minus(LEEWAY)) < self.exp
            && self.iat <= in_seconds(now.plus(clock::TOLERANCE))
            && self.exp.saturating_sub(self.iat) <= LIFETIME.as_secs() as i64
    }
}

/// Makes and checks access tokens.
pub struct AccessTokens {
    header: Header,
    /// The header as it stands in every token, with the point behind it. One that differs in a byte is not ours, so
    /// that nothing a header may ask for is ever looked at: `crit` (RFC 7515 4.1.11), `kid`, `jwk`, `jku`.
    encoded_header: String,
    encoding: EncodingKey,
    /// The current secret and, while tokens of it still run, the one before.
    decoding: Vec<DecodingKey>,
    validation: Validation,
    /// Tokens that are ours, whole, with what they claim. Whether one still counts is asked each time.
    ours: Cache<Box<str>, Arc<Claims>>,
}

impl AccessTokens {
    pub fn new(secrets: &SigningSecrets) -> Self {
        let accepted = [Some(&secrets.current), secrets.previous.as_ref()].into_iter().flatten();
        let decoding = accepted.map(|secret| DecodingKey::from_secret(secret.expose_secret().as_bytes())).collect();
        let mut validation = Validation::new(ALGORITHM);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY.as_secs();
        // By the bank's clock, which need not be this machine's: see `Claims::counts_at`.
        validation.validate_exp = false;
        let header = Header { typ: Some(TYPE.to_owned()), ..Header::new(ALGORITHM) };
        Self {
            encoded_header: format!("{}.", URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).unwrap_or_default())),
            header,
            encoding: EncodingKey::from_secret(secrets.current.expose_secret().as_bytes()),
            decoding,
            validation,
            ours: Cache::new(MAX_REMEMBERED),
        }
    }

    pub fn issue(&self, subject: Subject, now: Timestamp) -> jsonwebtoken::errors::Result<String> {
        let methods = [Some(AuthenticationMethod::Pwd), subject.second_factor.then_some(AuthenticationMethod::Otp)];
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: subject.user_id,
            sid: subject.session_id,
            role: subject.role,
            amr: methods.into_iter().flatten().collect(),
            auth_time: subject.proven_at.as_unix_seconds(),
            confirm_above: subject.confirm_above,
            iat: now.as_unix_seconds(),
            exp: now.plus(LIFETIME).as_unix_seconds(),
            jti: Uuid::now_v7(),
        };
        jsonwebtoken::encode(&self.header, &claims, &self.encoding)
    }

    /// The claims of a token that we made, for us, and that counts at `now`. None for any other, whatever is wrong.
    pub fn verify(&self, token: &str, now: Timestamp) -> Option<Arc<Claims>> {
        let claims = self.ours.get(token).or_else(|| self.decode(token))?;
        Some(claims).filter(|claims| claims.counts_at(now))
    }

    /// The claims of a token that we made, for us, at whatever time.
    fn decode(&self, token: &str) -> Option<Arc<Claims>> {
        if !token.starts_with(&self.encoded_header) {
            return None;
        }
        let decode = |key| jsonwebtoken::decode::<Claims>(token, key, &self.validation).ok();
        let claims = Arc::new(self.decoding.iter().find_map(decode)?.claims);
        self.ours.insert(token.into(), Arc::clone(&claims));
        Some(claims)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    static TOKENS: LazyLock<AccessTokens> = LazyLock::new(|| {
        let current = SecretString::from("a secret for tests, long enough for HS256");
        AccessTokens::new(&SigningSecrets { current, previous: None })
    });

    const NOBODY: Subject = Subject {
        user_id: Uuid::nil(),
        session_id: Uuid::nil(),
        role: Role::Admin,
        second_factor: false,
        proven_at: Timestamp::from_micros(0),
        confirm_above: None,
    };

    #[test]
    fn what_is_issued_is_verified() {
        let (user, session) = (Uuid::now_v7(), Uuid::now_v7());
        let now = Timestamp::now();
        let subject = Subject {
            user_id: user,
            session_id: session,
            role: Role::Staff,
            second_factor: true,
            proven_at: now,
            confirm_above: Some(500),
        };
        let token = TOKENS.issue(subject, now).expect("a token");
        assert_ne!(token, TOKENS.issue(subject, now).expect("another token"));
        let claims = TOKENS.verify(&token, now).expect("claims");
        assert_eq!((claims.sub, claims.sid, claims.role), (user, session, Role::Staff));
        assert!(claims.has_second_factor());
        assert_eq!(claims.confirm_above, Some(500));
    }

    #[test]
    fn a_proof_is_recent_for_five_minutes_and_not_from_the_future() {
        let proven_at = Timestamp::from_micros(1_800_000_000_000_000);
        let token = TOKENS.issue(Subject { proven_at, ..NOBODY }, proven_at).expect("a token");
        let claims = TOKENS.verify(&token, proven_at).expect("claims");
        let is_recent_at = |moment| claims.has_recent_proof(moment);
        assert!(is_recent_at(proven_at) && is_recent_at(proven_at.plus(RECENT - Duration::from_secs(1))));
        assert!(!is_recent_at(proven_at.plus(RECENT)) && !is_recent_at(proven_at.plus(LIFETIME)));
        assert!(
            is_recent_at(proven_at.minus(clock::TOLERANCE)) && !is_recent_at(proven_at.minus(clock::TOLERANCE * 2))
        );
    }

    #[test]
    fn a_token_counts_from_when_it_was_made_until_it_expires() {
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        let token = TOKENS.issue(NOBODY, now).expect("a token");
        let counts_at = |moment| TOKENS.verify(&token, moment).is_some();
        assert!(counts_at(now.minus(clock::TOLERANCE)) && !counts_at(now.minus(clock::TOLERANCE * 2)));
        assert!(!counts_at(now.minus(LIFETIME * 1_000)));
        assert!(counts_at(now.plus(LIFETIME)) && !counts_at(now.plus(LIFETIME + LEEWAY)));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_token_parser_panic_or_accept_it(
            text in "\\PC*|[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{43}",
        ) {
            prop_assert_eq!(TOKENS.verify(&text, Timestamp::now()), None);
        }
    }
}
