//! Failed sign-ins in the log and in the metrics. In the log: one line each, by which fail2ban finds the addresses that guess.
//!
//! The wording is part of the interface: docs/OPERATING.md has the expression that reads it. Nothing that a client has
//! chosen stands in the line, so that nobody can write one in another's name.

use crate::api::http::context::RequestContext;

/// Why somebody is not let in, or not believed to be who they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// At sign-in. Unknown addresses count as well.
    WrongPassword,
    /// At sign-in, behind the right password.
    WrongCode,
    /// Too many tries: this one was not looked at.
    TooMany,
    /// Within a session, where the password or a code is asked for again.
    WrongProof,
}

impl Failure {
    /// As the metrics have it.
    fn name(self) -> &'static str {
        match self {
            Self::WrongPassword => "wrong_password",
            Self::WrongCode => "wrong_code",
            Self::TooMany => "too_many_tries",
            Self::WrongProof => "wrong_proof",
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::WrongPassword => "wrong password",
            Self::WrongCode => "wrong code",
            Self::TooMany => "too many tries",
            Self::WrongProof => "wrong password or code within a session",
        }
    }
}

/// Writes the line, and counts.
pub fn tell(context: &RequestContext, failure: Failure) {
    metrics::counter!("coffer_sign_ins_total", "outcome" => failure.name()).increment(1);
    let (address, what) = (context.address(), failure.in_words());
    tracing::warn!(target: "coffer::sign_in", "failed sign-in from {address}: {what}");
}
