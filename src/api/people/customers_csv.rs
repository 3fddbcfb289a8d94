//! Users as a file: `GET /users.csv`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;
use validator::Validate;

use crate::api::App;
use crate::api::http::caller::Reader;
use crate::api::http::context::RequestContext;
use crate::api::http::csv::{self, row, without_formulas};
use crate::api::http::error::Result;
use crate::api::http::extract::Query;
use crate::api::http::long_answers::UnderWay;
use crate::api::http::pieces::{self, Pieces};
use crate::api::people::staff;
use coffer_core::account_number::AccountNumber;
use coffer_core::books::audit_event::Action;
use coffer_core::db::users::{Role, User, UserFilter, UserStatus};
use coffer_core::text::UserSearch;

/// Users in one read.
const USERS_IN_A_PIECE: i64 = 500;

const COLUMNS: [&str; 7] = ["id", "name", "email", "role", "status", "is_service", "created_at"];

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UsersFileQuery {
    /// Part of a name or an address, whatever its case and accents, or the number of an account for its owner.
    #[param(inline, example = "ada")]
    search: Option<UserSearch>,
    /// Only users with this role; all if left out.
    role: Option<Role>,
}

/// Take the users as CSV
///
/// All that the filters let through, the newest first, in one file of any length: CSV (RFC 4180) in UTF-8 with a byte order
/// mark, in which a text that a spreadsheet would run as a formula has an apostrophe before it, as in a statement. A file that
/// breaks off ends in a broken connection. On record.
#[utoipa::path(
    get,
    path = "/users.csv",
    operation_id = "take_users_as_csv",
    tag = "Staff",
    params(UsersFileQuery),
    responses(
        (status = OK, description = "A file of all users",
         headers(("Content-Disposition" = String, description = "A name for the file")), body = String, content_type = "text/csv",
         example = "id,name,email,role,status,is_service,created_at\r\n\
            019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88,Ada Lovelace,ada@example.com,customer,active,false,2026-01-31T12:00:00.000000Z\r\n"),
        (status = FORBIDDEN, description = "For staff, admins and auditors"),
    ),
    security(("bearer" = []))
)]
pub async fn download(
    State(app): State<App>,
    context: RequestContext,
    Reader(caller): Reader,
    Query(query): Query<UsersFileQuery>,
) -> Result<Response> {
    let search = query.search.map(|search| search.folded()).unwrap_or_default();
    app.viewed(context.event(Action::UsersExported).detail(staff::describe(&search, query.role)))?;
    let account_number = AccountNumber::from_typed(&search);
    let filter = UserFilter { search, account_number, role: query.role, before: None };
    let mut writing = Writing { app: app.clone(), under_way: None, filter, is_begun: false, is_done: false };
    // What fails at once is answered with a problem, not with a broken connection.
    let first = writing.next_piece().await?;
    if !writing.is_done {
        writing.under_way = Some(app.long_answers.begin(caller.user_id)?);
    }
    Ok((csv::file_headers("users"), pieces::body(first, writing, &context)).into_response())
}

/// A file that is being written. It holds one read of users in memory.
struct Writing {
    app: App,
    /// For a file of more than one read.
    under_way: Option<UnderWay>,
    filter: UserFilter,
    is_begun: bool,
    is_done: bool,
}

impl Pieces for Writing {
    const NAME: &'static str = "the users as a file";

    fn is_done(&self) -> bool {
        self.is_done
    }

    async fn next_piece(&mut self) -> Result<Vec<u8>> {
        let permit = self.app.long_answers.read_permit().await;
        let users = self.app.db.users(&self.filter, USERS_IN_A_PIECE).await?;
        drop(permit);
        let mut piece = if self.is_begun { Vec::new() } else { csv::header(&COLUMNS)? };
        self.is_begun = true;
        for user in &users {
            piece.extend(line(user)?);
        }
        self.filter.before = users.last().map(|last| last.id);
        self.is_done = (users.len() as i64) < USERS_IN_A_PIECE;
        Ok(piece)
    }
}

fn line(user: &User) -> Result<Vec<u8>> {
    let status = match user.status {
        UserStatus::Active => "active",
        UserStatus::Frozen => "frozen",
    };
    let id: Uuid = user.id;
    row(&[
        &id.to_string(),
        &without_formulas(&user.name),
        &without_formulas(&user.email),
        user.role.name(),
        status,
        if user.is_service { "true" } else { "false" },
        &user.created_at.to_string(),
    ])
}
