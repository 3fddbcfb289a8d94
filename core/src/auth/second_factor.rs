//! The second factor: time-based one-time codes (TOTP, RFC 6238) and recovery codes.

use qrcode::QrCode;
use qrcode::render::svg;
use sha2::{Digest, Sha256};
use totp_rs::{Builder, Secret, Totp};

use crate::timestamp::Timestamp;

/// RFC 4226 asks for 160 bits.
pub const SECRET_BYTES: usize = 20;
/// Authenticator apps assume SHA-1, six digits and thirty seconds.
const DIGITS: usize = 6;
/// Steps before and after the current one that count too, for phones whose clock is off (RFC 6238 section 5.2).
const SKEW: u16 = 1;
const ISSUER: &str = "Coffer";

/// How many recovery codes there are. Each has 120 random bits, so that a plain hash keeps it (OWASP ASVS 5.0 6.5.2).
const RECOVERY_CODES: usize = 10;
const RECOVERY_CODE_BYTES: usize = 15;
const RECOVERY_GROUP: usize = 4;

/// Width and height of the QR code, in pixels.
const QR_SIZE: u32 = 240;

/// A text that a person typed into the field for codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// Six digits of the authenticator app.
    OneTime(String),
    /// The SHA-256 of anything else: perhaps a recovery code.
    Recovery([u8; 32]),
}

impl Code {
    /// Spaces and hyphens do not count, nor do capitals.
    pub fn parse(text: &str) -> Self {
        let plain: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        if plain.len() == DIGITS && plain.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::OneTime(plain);
        }
        Self::Recovery(hash(&plain.to_ascii_lowercase()))
    }
}

pub fn new_secret() -> Result<[u8; SECRET_BYTES], getrandom::Error> {
    let mut secret = [0; SECRET_BYTES];
    getrandom::fill(&mut secret)?;
    Ok(secret)
}

/// The step of the one-time code, if it is a code of about `now`. Whether that step has been used is the caller's to
/// know.
pub fn step_of(code: &str, secret: &[u8], now: Timestamp) -> Option<i64> {
    let seconds = u64::try_from(now.as_unix_seconds()).ok()?;
    totp(secret, "").check(code, seconds).and_then(|step| i64::try_from(step).ok())
}

/// A secret as authenticator apps take it: the secret in base 32, the `otpauth://` address, and a picture of that.
pub struct Enrolment {
    pub secret: String,
    pub otpauth_uri: String,
    pub qr_svg: String,
}

impl Enrolment {
    /// None when the address is too long for a QR code.
    pub fn new(secret: &[u8], email: &str) -> Option<Self> {
        // A colon ends the issuer's part of the label.
        let otpauth_uri = totp(secret, &email.replace(':', " ")).to_url().ok()?;
        let picture = QrCode::new(&otpauth_uri).ok()?;
        let qr_svg = picture.render::<svg::Color<'_>>().min_dimensions(QR_SIZE, QR_SIZE).build();
        Some(Self { secret: Secret::from(secret).to_base32(), otpauth_uri, qr_svg })
    }
}

/// New recovery codes, as they are shown, and the hash to store of each.
pub fn new_recovery_codes() -> Result<Vec<(String, [u8; 32])>, getrandom::Error> {
    (0..RECOVERY_CODES)
        .map(|_| {
            let mut bytes = [0; RECOVERY_CODE_BYTES];
            getrandom::fill(&mut bytes)?;
            let plain = Secret::from(&bytes[..]).to_base32().to_ascii_lowercase();
            let groups: Vec<&str> =
                plain.as_bytes().chunks(RECOVERY_GROUP).filter_map(|group| str::from_utf8(group).ok()).collect();
            Ok((groups.join("-"), hash(&plain)))
        })
        .collect()
}

fn totp(secret: &[u8], account_name: &str) -> Totp {
    Builder::new()
        .with_secret(secret)
        .with_skew(SKEW)
        .with_issuer(Some(ISSUER))
        .with_account_name(account_name)
        .build_noncompliant()
}

fn hash(code: &str) -> [u8; 32] {
    Sha256::digest(code.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// RFC 6238 appendix B, with the last six of its eight digits.
    #[test]
    fn codes_are_those_of_the_rfc() {
        let secret = b"12345678901234567890";
        for (seconds, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (2_000_000_000, "279037")]
        {
            let now = Timestamp::from_micros(seconds * 1_000_000);
            assert_eq!(step_of(code, secret, now), Some(seconds / 30));
            assert_eq!(step_of(code, secret, now.plus(Duration::from_secs(30))), Some(seconds / 30));
            assert_eq!(step_of(code, secret, now.plus(Duration::from_secs(61))), None);
        }
    }

    #[test]
    fn what_is_typed_is_read_kindly() {
        assert_eq!(Code::parse(" 123 456 "), Code::OneTime("123456".to_owned()));
        let codes = new_recovery_codes().expect("random numbers");
        assert_eq!(codes.len(), RECOVERY_CODES);
        for (shown, hash) in codes {
            assert_eq!(Code::parse(&shown.to_uppercase()), Code::Recovery(hash));
            assert_eq!(Code::parse(&shown.replace('-', " ")), Code::Recovery(hash));
        }
    }

    #[test]
    fn the_picture_and_the_address_say_the_same() {
        let enrolment = Enrolment::new(&[7; SECRET_BYTES], "ada+bank@example.com").expect("an enrolment");
        assert!(
            enrolment.otpauth_uri.starts_with("otpauth://totp/Coffer:ada%2Bbank%40example.com?"),
            "{}",
            enrolment.otpauth_uri
        );
        assert!(enrolment.otpauth_uri.contains(&format!("secret={}", enrolment.secret)));
        assert!(enrolment.qr_svg.contains("<svg"));
    }
}
