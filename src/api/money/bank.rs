//! What anybody may know of the bank: `GET /bank`.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::App;
use crate::api::http::extract::Json;
use crate::api::people::sign_up::SignUp;
use coffer_core::money::Currency;
use coffer_core::money::units::Unit;

/// How the bank is set up, as far as it is anybody's business.
#[derive(Debug, Serialize, ToSchema)]
pub struct Bank {
    /// Who may make somebody a customer: everybody themselves, or only staff for others.
    sign_up: SignUp,
    /// Of accounts that are opened without naming one.
    currency: Currency,
    /// Units of the bank's own: accounts may be in them as in any currency of ISO 4217.
    units: Vec<UnitBody>,
    /// Whether customers may book deposits to their own accounts.
    self_service_deposits: bool,
    /// The IANA name of the time zone whose days and months limits of accounts go by.
    #[schema(example = "Europe/Berlin")]
    time_zone: String,
    /// Whether it sends mail: `POST /password_reset`, and notices.
    mail: bool,
    /// Whether the API can be tried out at `/swagger-ui/`.
    swagger_ui: bool,
}

/// A unit of the bank's own, such as points or hours.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Unit)]
pub struct UnitBody {
    /// What accounts in it have for their currency: three capitals.
    #[schema(example = "PTS")]
    code: String,
    /// How many decimals its amounts have, 0 to 4.
    #[schema(example = 0, minimum = 0, maximum = 4)]
    decimals: u32,
    /// For people.
    #[schema(example = "Points")]
    name: String,
}

impl From<&Unit> for UnitBody {
    fn from(unit: &Unit) -> Self {
        Self { code: unit.code().to_owned(), decimals: unit.decimals(), name: unit.name().to_owned() }
    }
}

/// See how the bank is set up
///
/// For pages and programs that must know before anybody has signed in.
#[utoipa::path(
    get,
    path = "/bank",
    operation_id = "show_bank",
    tag = "Operations",
    responses((status = OK, description = "How it is set up", body = Bank))
)]
pub async fn show(State(app): State<App>) -> Json<Bank> {
    Json(Bank {
        sign_up: app.sign_up,
        currency: app.default_currency,
        units: app.units.iter().map(UnitBody::from).collect(),
        self_service_deposits: app.self_service_deposits,
        time_zone: app.calendar.to_string(),
        mail: app.sends_mail,
        swagger_ui: app.swagger_ui,
    })
}
