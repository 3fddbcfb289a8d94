//! What the bank writes: plain text, and no secret but the link that somebody has asked for.

use coffer_core::auth::password_links::LinkToken;
use coffer_core::books::account::Account;
use coffer_core::books::entry::Entry;
use coffer_core::db::users::User;
use coffer_core::money::Money;
use coffer_core::text;
use coffer_core::timestamp::Timestamp;

/// The longest text of somebody else's that a letter repeats, in characters.
const MAX_QUOTED: usize = 200;
/// Digits by which its owner knows an account. All of them are nobody's business but the owner's, and mail is a postcard.
const SHOWN_DIGITS: usize = 4;

/// A letter, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// An e-mail address.
    pub to: String,
    pub subject: &'static str,
    /// In UTF-8, with plain line breaks.
    pub text: String,
}

/// Writes in the name of a bank whose web app is at this address, such as `https://bank.example`.
#[derive(Clone, Debug)]
pub struct Writer {
    bank: String,
}

impl Writer {
    pub fn new(bank: String) -> Self {
        Self { bank }
    }

    /// `from` is where the request came from.
    pub fn password_reset(&self, user: &User, token: &LinkToken, from: &str) -> Letter {
        let text = format!(
            "somebody, most likely you, has told us that you have lost your password. The request came from {from}.\n\n\
             Set another one here, within an hour:\n\n{bank}{path}\n\n\
             The link counts once. Setting a password ends every session; a second factor stays.\n\n\
             If it was not you, do nothing: your password stays as it is, and only you have this link.",
            from = quoted(from),
            bank = self.bank,
            path = token.path(),
        );
        self.letter(user, &user.email, "Set another password", &text)
    }

    /// To those who work at the bank, who get no links by mail.
    pub fn ask_an_admin(&self, user: &User, from: &str) -> Letter {
        let text = format!(
            "somebody, most likely you, has told us that you have lost your password. The request came from {}.\n\n\
             You work at the bank, and those who do get no link by mail: please ask an admin for one.\n\n\
             If it was not you, please tell an admin, too.",
            quoted(from)
        );
        self.letter(user, &user.email, "You have lost your password?", &text)
    }

    pub fn address_check(&self, user: &User, token: &LinkToken) -> Letter {
        let text = format!(
            "please confirm that this is your address, within a day:\n\n{}{}\n\n\
             From then on we tell you by mail of sign-ins from somewhere new, and of movements above the amount that you \
             name for an account.\n\n\
             If you have no account with us, somebody has mistyped an address: do nothing, and we will not write again.",
            self.bank,
            token.verification_path(),
        );
        // Whoever signs up chooses the name, and the address may be somebody else's: nobody writes to strangers by the bank.
        self.signed(&user.email, "Confirm your address", &format!("Hello,\n\n{text}"))
    }

    /// `detail` is the address and the device, in words.
    pub fn sign_in(&self, user: &User, detail: &str, at: Timestamp) -> Letter {
        let text = format!(
            "somebody has signed in as you from where you did not lately: {}, on {}.\n\n\
             If that was you, there is nothing to do. If not, change your password at once: that ends every other session. \
             Then look through your movements, and tell us.",
            quoted(detail),
            in_words(at),
        );
        self.letter(user, &user.email, "A new sign-in", &text)
    }

    pub fn password_changed(&self, user: &User, at: Timestamp) -> Letter {
        let text = format!(
            "your password was changed on {}.\n\nIf that was not you, tell us at once, and set another one: choose \
             \"Forgot your password?\" where one signs in.",
            in_words(at)
        );
        self.letter(user, &user.email, "Your password was changed", &text)
    }

    pub fn second_factor_removed(&self, user: &User, at: Timestamp) -> Letter {
        let text = format!(
            "your second factor was removed on {}: signing in takes your password alone.\n\n\
             If neither you did that nor had asked the bank for it, tell us at once, and change your password.",
            in_words(at)
        );
        self.letter(user, &user.email, "Your second factor was removed", &text)
    }

    /// To the address that the user had `before`.
    pub fn address_changed(&self, user: &User, before: &str, at: Timestamp) -> Letter {
        let text = format!(
            "your e-mail address at the bank was changed on {}. This one is yours no more there: you sign in with the new \
             one, and we write to that.\n\nIf that was not you, tell us at once.",
            in_words(at)
        );
        self.letter(user, before, "Your address was changed", &text)
    }

    pub fn movement(&self, user: &User, account: &Account, entry: &Entry) -> Letter {
        let amount = Money::new(entry.amount.saturating_abs(), entry.currency);
        let what = if entry.amount < 0 { "has left" } else { "has come into" };
        let text = format!(
            "{amount} {} {what} your account {} on {}.\n\n\
             You wanted to know of movements above an amount: you set it on the page of the account. If you do not know \
             this one, tell us.",
            entry.currency.code(),
            name_of(account),
            in_words(entry.created_at),
        );
        let subject = if entry.amount < 0 { "Money has left your account" } else { "Money has come into your account" };
        self.letter(user, &user.email, subject, &text)
    }

    fn letter(&self, user: &User, to: &str, subject: &'static str, text: &str) -> Letter {
        self.signed(to, subject, &format!("Hello {},\n\n{text}", quoted(&user.name)))
    }

    fn signed(&self, to: &str, subject: &'static str, text: &str) -> Letter {
        let text = format!("{text}\n\n-- \n{}\nNobody from the bank ever asks for your password.\n", self.bank);
        Letter { to: to.to_owned(), subject, text }
    }
}

/// What people write, on one line.
fn quoted(text: &str) -> String {
    text::quoted(text, MAX_QUOTED)
}

/// `Travel (…0180)`
fn name_of(account: &Account) -> String {
    let number = account.account_number.to_string();
    let digits = &number[number.len().saturating_sub(SHOWN_DIGITS)..];
    match &account.label {
        Some(label) => format!("{} (…{digits})", quoted(label)),
        None => format!("…{digits}"),
    }
}

/// `2026-01-31 at 12:00 UTC`
fn in_words(at: Timestamp) -> String {
    let text = at.to_string();
    match text.split_once('T') {
        Some((day, time)) => format!("{day} at {} UTC", time.get(..5).unwrap_or(time)),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use coffer_core::db::users::Role;

    fn user(name: &str) -> User {
        User::new(name.to_owned(), "ada@example.com".to_owned(), Role::Customer, String::new())
    }

    #[test]
    fn a_letter_has_the_link_and_keeps_what_people_write_on_one_line() {
        let writer = Writer::new("https://bank.example".to_owned());
        let token = LinkToken::from(SecretString::from("secret".to_owned()));
        let letter = writer.password_reset(&user("Ada\r\nBcc: eve@example.com\r\n\r\n"), &token, "192.0.2.1");
        assert!(letter.text.contains("\nhttps://bank.example/#/set-password/secret\n"), "{}", letter.text);
        assert!(!letter.text.contains("\nBcc") && !letter.text.contains('\r'), "{}", letter.text);
        assert_eq!(letter.to, "ada@example.com");
        let check = writer.address_check(&user("Ada"), &token);
        assert!(check.text.contains("\nhttps://bank.example/#/verify-address/secret\n"), "{}", check.text);
        let moved = writer.sign_in(&user("Ada"), "192.0.2.1\nx", Timestamp::from_micros(0));
        assert!(moved.text.contains("1970-01-01 at 00:00 UTC"), "{}", moved.text);
    }
}
