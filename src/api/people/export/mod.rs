//! Everything that the bank has about the caller (GDPR, Articles 15 and 20): `GET /me/export`.

mod files;
mod records;

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use self::files::{File, Person, Place};
use crate::api::App;
use crate::api::http::HANDLER_TIMEOUT;
use crate::api::http::archive::{Archive, ZipFile};
use crate::api::http::attachment;
use crate::api::http::caller::{Caller, Proven};
use crate::api::http::context::RequestContext;
use crate::api::http::error::Result;
use crate::api::http::long_answers::UnderWay;
use crate::api::http::pieces::{self, Pieces};
use crate::api::people::{proof, users};
use coffer_core::books::audit_event::Action;
use coffer_core::db::users::User;
use coffer_core::timestamp::Timestamp;

/// How many requests it costs beside itself: it reads a little of everything, however little there is.
const COST: u32 = 20;

/// Take everything of one's own along
///
/// All that the bank has about the caller, as a zip archive of JSON files; `README.txt` in it says what each is. Accounts and
/// movements are as of one moment and fit together; the other files are read right after it. What staff have noted on the caller
/// is in it, and what the audit log has, without who at the bank it was (GDPR, Article 15). No secret is. It is written as it is
/// sent, whatever its length; one that breaks off ends in a broken connection. For people alone, because it has everything; on
/// record.
#[utoipa::path(
    get,
    path = "/me/export",
    operation_id = "export_me",
    tag = "Profile",
    responses(
        (status = OK, description = "The archive",
         headers(("Content-Disposition" = String, description = "A name for the file")), body = ZipFile, content_type = "application/zip"),
        (status = UNAUTHORIZED, description = proof::REQUIRED),
    ),
    security(("bearer" = []))
)]
pub async fn download(
    State(app): State<App>,
    context: RequestContext,
    Proven(caller): Proven<Caller>,
) -> Result<Response> {
    app.auth.requests.take_many(caller.user_id, COST)?;
    let under_way = app.long_answers.begin(caller.user_id)?;
    let user = users::callers_user(&app, caller).await?;
    app.audit.promise(context.event(Action::DataExported).on(caller.user_id))?;
    let mut writing = Writing::begin(&app, under_way, user).await?;
    // What fails at once is answered with a problem, not with a broken connection.
    let first = writing.next_piece().await?;
    let headers = attachment::headers("application/zip", &format!("coffer-export-{}.zip", attachment::today()));
    Ok((headers, pieces::body(first, writing, &context)).into_response())
}

/// An archive that is being written. It has a page of one file in memory, and the accounts, whose number is limited.
struct Writing {
    person: Person,
    /// None once it is ended.
    archive: Option<Archive>,
    /// The file that is being written, and those to come.
    files: std::slice::Iter<'static, File>,
    file: Option<File>,
    place: Place,
    _under_way: UnderWay,
}

impl Writing {
    async fn begin(app: &App, under_way: UnderWay, user: User) -> Result<Self> {
        let accounts = app.db.all_accounts_of(user.id).await?;
        let api_keys = files::ids_of_api_keys(&app.db, user.id).await?;
        let person = Person { app: app.clone(), user, accounts, api_keys, moment: Timestamp::now() };
        let mut files = File::ALL.iter();
        let file = files.next().copied();
        let archive = Some(Archive::begin());
        Ok(Self { person, archive, files, file, place: Place::default(), _under_way: under_way })
    }

    /// Reads a page of the file, and turns to the next one at its end.
    async fn page_of(&mut self, file: File) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let page = self.person.read(file, self.place).await?;
        for row in &page.rows {
            text.extend_from_slice(file.before_row(self.place.rows));
            text.extend_from_slice(row);
            self.place.rows += 1;
        }
        match page.next {
            Some(next) => self.place = Place { rows: self.place.rows, ..next },
            None => {
                text.extend_from_slice(file.end(self.place.rows));
                (self.file, self.place) = (self.files.next().copied(), Place::default());
            }
        }
        Ok(text)
    }
}

impl Pieces for Writing {
    const NAME: &'static str = "everything about somebody";

    fn is_done(&self) -> bool {
        self.archive.is_none()
    }

    async fn next_piece(&mut self) -> Result<Vec<u8>> {
        // The compressor keeps back what is little, and a piece of nothing would not be sent.
        loop {
            let (Some(file), Some(archive)) = (self.file, &mut self.archive) else {
                return self.archive.take().map_or_else(|| Ok(Vec::new()), Archive::finish);
            };
            if self.place.is_begin() {
                archive.begin_file(file.name())?;
            }
            self.person.app.long_answers.wait_for_page(self.person.user.id).await;
            let reading = tokio::time::timeout(HANDLER_TIMEOUT, self.page_of(file));
            let text = reading.await.map_err(|_| sqlx::Error::PoolTimedOut)??;
            let Some(archive) = &mut self.archive else { continue };
            archive.write(&text)?;
            let piece = archive.take();
            if !piece.is_empty() {
                return Ok(piece);
            }
        }
    }
}
