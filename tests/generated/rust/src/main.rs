use coffer_client::apis::configuration::Configuration;
use coffer_client::apis::money_api::{DepositSuccess, WithdrawError, deposit, withdraw};
use coffer_client::apis::sign_in_api::{LoginSuccess, login};
use coffer_client::apis::{Error, ResponseContent};
use coffer_client::models::{LoginRequest, MovementRequest, MovementType, Transaction, TransactionStatus};

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

fn client(token: Option<String>) -> Configuration {
    Configuration { base_path: env("BANK"), bearer_access_token: token, ..Configuration::new() }
}

fn sign_in(email: String) -> Configuration {
    match login(&client(None), LoginRequest::new(email, env("PASSWORD")), None).unwrap().entity {
        Some(LoginSuccess::Status200(tokens)) => client(Some(tokens.access_token)),
        other => panic!("{other:?}"),
    }
}

/// The generated type takes the first variant that fits; its name is not the status of the answer.
fn transaction(answer: ResponseContent<DepositSuccess>) -> Transaction {
    match answer.entity {
        Some(
            DepositSuccess::Status200(transaction)
            | DepositSuccess::Status201(transaction)
            | DepositSuccess::Status202(transaction),
        ) => transaction,
        other => panic!("{other:?}: {}", answer.content),
    }
}

fn main() {
    let (account, above) = (env("ACCOUNT"), format!("{}.01", env("APPROVAL_ABOVE")));
    let movement = |amount: &str| MovementRequest::new(account.clone(), amount.to_owned());

    let customer = sign_in(env("CUSTOMER"));
    let salary = MovementRequest { description: Some(Some("Salary".to_owned())), ..movement("100.50") };
    let answer = deposit(&customer, salary, Some(&uuid::Uuid::new_v4().to_string()), None, None).unwrap();
    assert_eq!(answer.status, 201);
    let posted = transaction(answer);
    assert_eq!(posted.status, TransactionStatus::Posted);
    assert_eq!(posted.r#type, MovementType::Deposit);
    assert_eq!(posted.balance.as_deref(), Some("100.50"));
    assert_eq!(posted.sequence, Some(1));
    assert_eq!(posted.counterparty, None);

    let refused = match withdraw(&customer, movement("1000"), None, None, None) {
        Err(Error::ResponseError(refused)) => refused,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused.status, 409);
    // As above, the first variant that fits.
    let problem = match refused.entity {
        Some(WithdrawError::Status400(problem) | WithdrawError::Status409(problem)) => problem,
        other => panic!("{other:?}: {}", refused.content),
    };
    assert_eq!(problem.status, 409);
    assert_eq!(problem.code, "insufficient_funds");

    let answer = deposit(&sign_in(env("STAFF")), movement(&above), None, None, None).unwrap();
    assert_eq!(answer.status, 202);
    let pending = transaction(answer);
    assert_eq!(pending.status, TransactionStatus::PendingApproval);
    assert_eq!(pending.balance, None);
    assert_eq!(pending.amount, above);
}
