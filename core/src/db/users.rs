//! Users: people, who sign in, and programs, which have API keys alone.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Db, Tx, in_transaction, on_reader};
use crate::account_number::AccountNumber;
use crate::by_name::by_name;
use crate::text;
use crate::timestamp::Timestamp;

/// A person who signs in or, where `is_service`, a program that has API keys alone.
// Row and response in one; what is private is skipped on the wire.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, ToSchema)]
pub struct User {
    /// The id of the user. Accounts name it as `owner_id`.
    pub id: Uuid,
    /// The full name, as the user has given it: up to 100 characters.
    #[schema(example = "Ada Lovelace")]
    pub name: String,
    /// The e-mail address that the user signs in with. No two users have the same.
    #[schema(example = "ada@example.com", format = Email)]
    pub email: String,
    pub role: Role,
    pub status: UserStatus,
    pub created_at: Timestamp,
    /// A program: it calls with API keys, and has no password. Made with `coffer admin create --service`.
    pub is_service: bool,
    #[serde(skip)]
    pub password_hash: String,
    /// In whole units of the account's currency: own movements above it ask for a recent proof.
    #[serde(skip)]
    pub confirm_above: Option<i64>,
    /// Whether a login takes a code.
    #[serde(skip)]
    pub second_factor: bool,
    /// Whether others may have the name compared before they pay.
    #[serde(skip)]
    pub name_check: bool,
    /// When the user has shown that mail to the address arrives. None for not yet.
    #[serde(skip)]
    pub email_verified_at: Option<Timestamp>,
    /// Whether the user is told of sign-ins from somewhere new.
    #[serde(skip)]
    pub sign_in_notices: bool,
}

/// Whether a user may change anything. `active`: the role of the user decides. `frozen`: the user may look and sign
/// out, but change nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize, sqlx::Type, ToSchema)]
#[serde(remote = "Self", rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum UserStatus {
    Active,
    Frozen,
}

by_name!(UserStatus);

/// The columns of [`User`].
macro_rules! user_columns {
    () => {
        "id, name, email, role, case when frozen_at is null then 'active' else 'frozen' end as status, created_at,
         is_service, password_hash, confirm_above, name_check, email_verified_at, sign_in_notices, exists (
             select 1 from second_factors f where f.user_id = users.id and f.confirmed_at is not null
         ) as second_factor"
    };
}

/// Which users to list. What is empty or None does not count.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// Part of the name or the address, [folded](text::fold).
    pub search: String,
    /// Owners of this account, too.
    pub account_number: Option<AccountNumber>,
    pub role: Option<Role>,
    /// Only users before this one.
    pub before: Option<Uuid>,
}

/// The rights of a user. `customer`: acts on own accounts. `staff`: acts on any account. `admin`: acts on any account,
/// gives roles, and reads the audit log. `auditor`: reads any account and the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize, sqlx::Type, ToSchema)]
#[serde(remote = "Self", rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Role {
    Customer,
    Staff,
    Admin,
    Auditor,
}

by_name!(Role);

impl Role {
    /// As stored and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Staff => "staff",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
        }
    }

    /// Whether this role may see accounts and movements of other people.
    pub fn reads_any_account(self) -> bool {
        !matches!(self, Role::Customer)
    }

    /// Whether this role may see what those who work at the bank did.
    pub fn oversees(self) -> bool {
        matches!(self, Role::Admin | Role::Auditor)
    }

    /// Whether this role may move money on and manage accounts of other people.
    pub fn acts_on_any_account(self) -> bool {
        matches!(self, Role::Staff | Role::Admin)
    }
}

impl User {
    /// Somebody who joins the bank now.
    pub fn new(name: String, email: String, role: Role, password_hash: String) -> Self {
        Self {
            id: Uuid::now_v7(),
            name,
            email,
            role,
            status: UserStatus::Active,
            created_at: Timestamp::now(),
            is_service: false,
            password_hash,
            confirm_above: None,
            second_factor: false,
            name_check: true,
            email_verified_at: None,
            sign_in_notices: true,
        }
    }

    pub fn standing(&self) -> Standing {
        Standing {
            role: self.role,
            frozen: self.status == UserStatus::Frozen,
            second_factor: self.second_factor,
            confirm_above: self.confirm_above,
        }
    }
}

/// The rights of a user, as they are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Standing {
    pub role: Role,
    /// May look and sign out, but change nothing.
    pub frozen: bool,
    /// Has one. Without, no session counts as having shown one.
    pub second_factor: bool,
    /// Own movements above it, in whole units of their currency, ask for a recent proof.
    pub confirm_above: Option<i64>,
}

/// The columns of [`ChangedStanding`], from `users`.
macro_rules! standing_columns {
    () => {
        "id, role, frozen_at is not null as frozen, confirm_above, standing_changed_at as changed_at, exists (
             select 1 from second_factors f where f.user_id = users.id and f.confirmed_at is not null
         ) as second_factor"
    };
}

/// The rights of a user, and since when.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct ChangedStanding {
    pub id: Uuid,
    #[sqlx(flatten)]
    pub standing: Standing,
    pub changed_at: Timestamp,
}

/// The text that staff search people by: folded by this program, so that both databases compare the same.
fn search_text(name: &str, email: &str) -> String {
    format!("{} {}", text::fold(name), text::fold(email))
}

/// A pattern for `like ... escape '!'`.
fn contains(text: &str) -> String {
    let escaped = text.replace('!', "!!").replace('%', "!%").replace('_', "!_");
    format!("%{escaped}%")
}

impl Db {
    /// The active user with this address, which must be trimmed and in lower case.
    pub async fn user_by_email(&self, email: &str) -> sqlx::Result<Option<User>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!("select ", user_columns!(), " from users where email = $1 and status = 'active'"),
        )
        .bind(email)
        .fetch_optional(conn)
        .await)
    }

    pub async fn user(&self, id: Uuid) -> sqlx::Result<Option<User>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!("select ", user_columns!(), " from users where id = $1 and status = 'active'"),
        )
        .bind(id)
        .fetch_optional(conn)
        .await)
    }

    /// Users who have not left, the newest first.
    pub async fn users(&self, filter: &UserFilter, limit: i64) -> sqlx::Result<Vec<User>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!(
                "select ", user_columns!(), " from users
                 where status = 'active' and ($1 is null or id < $1) and ($2 is null or role = $2)
                   and (search_text like $3 escape '!'
                        or id = (select owner_id from accounts where account_number = $4))
                 order by id desc limit $5",
            ),
        )
        .bind(filter.before)
        .bind(filter.role)
        .bind(contains(&filter.search))
        .bind(filter.account_number)
        .bind(limit)
        .fetch_all(conn)
        .await)
    }

    /// Standings that were changed after `since`, on whichever instance.
    pub async fn standings_changed_since(&self, since: Timestamp) -> sqlx::Result<Vec<ChangedStanding>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!("select ", standing_columns!(), " from users where standing_changed_at > $1"),
        )
        .bind(since)
        .fetch_all(conn)
        .await)
    }

    pub async fn frozen_users(&self) -> sqlx::Result<Vec<ChangedStanding>> {
        on_reader!(self, conn => sqlx::query_as(
            concat!(
                "select ", standing_columns!(), " from users where standing_changed_at > 0 and frozen_at is not null",
            ),
        )
        .fetch_all(conn)
        .await)
    }
}

impl Tx<'_> {
    /// Fails with a unique violation when the address is taken.
    pub async fn insert_user(&mut self, user: &User) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "insert into users (id, name, email, password_hash, role, created_at, search_text, is_service)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(user.id)
        .bind(&user.name)
        .bind(&user.email)
        .bind(&user.password_hash)
        .bind(user.role)
        .bind(user.created_at)
        .bind(search_text(&user.name, &user.email))
        .bind(user.is_service)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// A new address is not verified yet. Fails with a unique violation when it is taken.
    pub async fn update_user(&mut self, id: Uuid, name: &str, email: &str) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "update users set name = $2, email = $3, search_text = $4,
                              email_verified_at = case when email = $3 then email_verified_at end
             where id = $1",
        )
        .bind(id)
        .bind(name)
        .bind(email)
        .bind(search_text(name, email))
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// The user has shown that mail to their address arrives.
    pub async fn verify_email(&mut self, id: Uuid, now: Timestamp) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("update users set email_verified_at = $2 where id = $1")
            .bind(id)
            .bind(now)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// Stores whether the user is told of sign-ins from somewhere new.
    pub async fn set_sign_in_notices(&mut self, id: Uuid, notices: bool) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("update users set sign_in_notices = $2 where id = $1")
            .bind(id)
            .bind(notices)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// Stores whether others may have the user's name compared.
    pub async fn set_name_check(&mut self, id: Uuid, name_check: bool) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("update users set name_check = $2 where id = $1")
            .bind(id)
            .bind(name_check)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// The user, if still active, held until the transaction ends. Whatever depends on the user's state (a new session
    /// on the password, a new account on being a customer) takes this first, so that no two such changes overlap. An
    /// update that changes nothing, because it locks in one way on every database.
    pub async fn lock_user(&mut self, id: Uuid) -> sqlx::Result<Option<User>> {
        in_transaction!(self, conn => sqlx::query_as(
            concat!("update users set status = status where id = $1 and status = 'active' returning ", user_columns!()),
        )
        .bind(id)
        .fetch_optional(conn)
        .await)
    }

    /// The admins who have not left, held until the transaction ends.
    pub async fn lock_admins(&mut self) -> sqlx::Result<Vec<(Uuid, Standing)>> {
        let admins: Vec<ChangedStanding> = in_transaction!(self, conn => sqlx::query_as(
            concat!(
                "update users set status = status where role = 'admin' and status = 'active' returning ",
                standing_columns!(),
            ),
        )
        .fetch_all(conn)
        .await)?;
        Ok(admins.into_iter().map(|admin| (admin.id, admin.standing)).collect())
    }

    /// Whether an admin has frozen the user, who must be locked.
    pub async fn is_frozen_by_admin(&mut self, id: Uuid) -> sqlx::Result<bool> {
        in_transaction!(self, conn => sqlx::query_scalar("select frozen_by_admin from users where id = $1")
            .bind(id)
            .fetch_one(conn)
            .await)
    }

    pub async fn set_frozen_by_admin(&mut self, id: Uuid, by_admin: bool) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("update users set frozen_by_admin = $2 where id = $1")
            .bind(id)
            .bind(by_admin)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// Stores role, freeze and confirmation; whether there is a second factor stands elsewhere. Returns the moment of
    /// the change: `now` or, where a clock went back, one after the last change, so that the later one counts whatever
    /// the clocks say.
    pub async fn set_standing(&mut self, id: Uuid, standing: Standing, now: Timestamp) -> sqlx::Result<Timestamp> {
        in_transaction!(self, conn => sqlx::query_scalar(
            "update users set role = $2, frozen_at = case when $3 then coalesce(frozen_at, $4) end, confirm_above = $5,
                    standing_changed_at = case when standing_changed_at < $4 then $4 else standing_changed_at + 1 end
             where id = $1 returning standing_changed_at",
        )
        .bind(id)
        .bind(standing.role)
        .bind(standing.frozen)
        .bind(now)
        .bind(standing.confirm_above)
        .fetch_one(conn)
        .await)
    }

    /// Marks the user's standing as changed, so that all instances read it. The moment is one after the last change, as
    /// in [`Tx::set_standing`].
    pub async fn standing_has_changed(&mut self, id: Uuid, now: Timestamp) -> sqlx::Result<ChangedStanding> {
        in_transaction!(self, conn => sqlx::query_as(
            concat!(
                "update users set standing_changed_at =
                     case when standing_changed_at < $2 then $2 else standing_changed_at + 1 end
                 where id = $1 returning ", standing_columns!(),
            ),
        )
        .bind(id)
        .bind(now)
        .fetch_one(conn)
        .await)
    }

    /// Takes one of the user's guesses at password and codes beside a token, for this session. Each count begins with
    /// 1, and is None when there were `most` wrong ones: of the user since the last sign-in, and of the session.
    pub async fn take_guess(
        &mut self,
        id: Uuid,
        session_id: Uuid,
        most: i64,
    ) -> sqlx::Result<(Option<i64>, Option<i64>)> {
        let of_user = in_transaction!(self, conn => sqlx::query_scalar(
            "update users set wrong_guesses = wrong_guesses + 1
             where id = $1 and wrong_guesses < $2 and status = 'active' returning wrong_guesses",
        )
        .bind(id)
        .bind(most)
        .fetch_optional(&mut *conn)
        .await)?;
        let of_session = in_transaction!(self, conn => sqlx::query_scalar(
            "update sessions set wrong_guesses = wrong_guesses + 1
             where id = $1 and wrong_guesses < $2 and ended_at is null returning wrong_guesses",
        )
        .bind(session_id)
        .bind(most)
        .fetch_optional(conn)
        .await)?;
        Ok((of_user, of_session))
    }

    /// The guess was right, or was not looked at.
    pub async fn give_back_guess(&mut self, id: Uuid, session_id: Uuid) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "update users set wrong_guesses = wrong_guesses - 1 where id = $1 and wrong_guesses > 0",
        )
        .bind(id)
        .execute(&mut *conn)
        .await
        .map(|_| ()))?;
        in_transaction!(self, conn => sqlx::query(
            "update sessions set wrong_guesses = wrong_guesses - 1 where id = $1 and wrong_guesses > 0",
        )
        .bind(session_id)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// The user has signed in.
    pub async fn reset_wrong_guesses(&mut self, id: Uuid) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "update users set wrong_guesses = 0 where id = $1 and wrong_guesses > 0",
        )
        .bind(id)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    pub async fn update_password(&mut self, id: Uuid, password_hash: &str) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("update users set password_hash = $2 where id = $1")
            .bind(id)
            .bind(password_hash)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// Closes the user and deletes who it was: name and address are replaced, and no password matches any more.
    /// Lock the user and see that every account is closed before.
    pub async fn close_user(&mut self, id: Uuid) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "update users set status = 'closed', name = 'closed', email = $2, search_text = '', password_hash = 'closed',
                              email_verified_at = null
             where id = $1",
        )
        .bind(id)
        .bind(format!("closed:{id}"))
        .execute(conn)
        .await
        .map(|_| ()))
    }
}
