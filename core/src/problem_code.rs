//! Every kind of problem that the API can answer with: what happened, and what to do.
//!
//! The one table of codes. A problem's `type` leads to its page, which is made from this (`GET /problems/{code}`); the
//! `detail` of an answer says more, because it knows the case. The table stands on the ground floor because parsers
//! name codes, too: their errors print as `code: what to send instead`.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! problem_codes {
    ($($code:ident = $name:literal: $what_happened:literal, $what_to_do:literal;)*) => {
        /// A kind of problem, for programs. It never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProblemCode {
            $(#[doc = $what_happened] $code,)*
        }

        impl ProblemCode {
            /// By name, in the order of the alphabet.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// As on the wire.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)*
                }
            }

            pub const fn what_happened(self) -> &'static str {
                match self {
                    $(Self::$code => $what_happened,)*
                }
            }

            pub const fn what_to_do(self) -> &'static str {
                match self {
                    $(Self::$code => $what_to_do,)*
                }
            }
        }
    };
}

impl ProblemCode {
    /// The code with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.binary_search_by(|code| code.name().cmp(name)).ok().map(|at| Self::ALL[at])
    }

    /// `insufficient_funds` becomes `Insufficient funds`.
    pub fn title(self) -> String {
        let mut title = self.name().replace('_', " ").replace("json", "JSON");
        if let Some(first) = title.get_mut(0..1) {
            first.make_ascii_uppercase();
        }
        title
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for ProblemCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

problem_codes! {
    AccessChangePending = "access_change_pending":
        "Another change of this person's role or second factor waits for a second admin.",
        "Have that one approved or rejected first: GET /approvals?status=pending lists it.";
    AccountBusy = "account_busy":
        "Somebody else holds the account in the database for longer than the bank waits. Nothing was booked.",
        "Send the request again, with the same Idempotency-Key, after as many seconds as Retry-After says.";
    AccountClosed = "account_closed":
        "The account is closed. Its history stays, but nothing moves on it any more.",
        "Use another account; GET /accounts lists yours, POST /accounts opens one.";
    AccountFrozen = "account_frozen":
        "The bank has frozen the account: no money moves until the bank releases it.",
        "Ask the bank. Balance and history can still be read.";
    AccountHasHolds = "account_has_holds":
        "Money of the account is held, or a movement of it waits for approval.",
        "End its holds first, which GET /holds lists, and have what waits at the bank decided. Then close it.";
    AccountNotEmpty = "account_not_empty":
        "An account can only be closed when its balance is zero.",
        "Transfer or withdraw what is left, then close it.";
    AccountNotFound = "account_not_found":
        "None of your accounts has this number. Somebody else's account answers the same.",
        "Compare the number with those that GET /accounts lists.";
    AccountNumberCheckDigits = "account_number_check_digits":
        "The last two digits do not fit the twelve before them, so at least one digit is wrong.",
        "Compare the number with where it came from.";
    AccountNumberMalformed = "account_number_malformed":
        "This is no account number.",
        "Send 14 digits as a JSON string, such as \"10000000000180\", without spaces.";
    AccountsOpen = "accounts_open":
        "Nobody can leave the bank, or be erased, with open accounts.",
        "Close each of them with DELETE /accounts/{account_number}, then try again.";
    AddressNotAllowed = "address_not_allowed":
        "A webhook must not lead to this address.",
        "Send an address that everybody can reach, by https; or ask whoever runs the bank to name its network in COFFER_WEBHOOK_NETWORKS.";
    AgainstByStaffOnly = "against_by_staff_only":
        "Which account of the bank's own is on the other side is for the bank to say, not for its customers.",
        "Leave `against` out: the money is then paid in or out in cash.";
    AlreadyReversed = "already_reversed":
        "The movement has been reversed before, and a movement is reversed once. Nothing was booked now.",
        "See the reversal with GET /transactions/{id} of what `reversed_by` names. To move the money once more, request a new movement.";
    AmountAboveMaximum = "amount_above_maximum":
        "The amount is above what this bank lets one movement be.",
        "Send a smaller amount, or several; the detail says how much is allowed.";
    AmountEmpty = "amount_empty":
        "The amount is an empty string.",
        "Send a decimal such as \"100.50\".";
    AmountExponent = "amount_exponent":
        "The amount is written with an exponent, such as \"1e2\".",
        "Write the number out: \"100\".";
    AmountLeadingZero = "amount_leading_zero":
        "The amount begins with a zero that says nothing, such as \"007\".",
        "Leave out leading zeros: \"7\". Below one, write one zero: \"0.50\".";
    AmountMissingDecimals = "amount_missing_decimals":
        "The amount ends with its decimal point.",
        "Write digits after the point, or leave out the point.";
    AmountMissingIntegerPart = "amount_missing_integer_part":
        "The amount begins with its decimal point.",
        "Write a digit before the point, such as \"0.50\".";
    AmountMustBeAString = "amount_must_be_a_string":
        "The amount is a JSON number. Most programs turn those into floating point, which cannot hold every cent.",
        "Put the amount in quotation marks: \"100.50\".";
    AmountNegative = "amount_negative":
        "The amount has a minus sign.",
        "Send a positive amount. The call decides which way the money goes: POST /deposit, /withdraw or /transfer.";
    AmountNonAsciiDigit = "amount_non_ascii_digit":
        "The amount has digits of another script.",
        "Use the digits 0 to 9.";
    AmountNotANumber = "amount_not_a_number":
        "The amount is no plain decimal number.",
        "Send digits with at most one point, such as \"1000.50\": no separators, no signs, no symbols.";
    AmountOverflow = "amount_overflow":
        "The amount is larger than any that the bank can hold.",
        "Send a smaller amount.";
    AmountPlusSign = "amount_plus_sign":
        "The amount has a plus sign.",
        "Leave it out.";
    AmountSpaces = "amount_spaces":
        "There is a space, a tab or a line break in the amount.",
        "Leave it out.";
    AmountTooManyDecimals = "amount_too_many_decimals":
        "The amount has more decimals than its currency: dollars have two, yen have none.",
        "Send at most as many decimals as the detail says.";
    AmountZero = "amount_zero":
        "The amount is zero, so nothing would move.",
        "Send an amount greater than zero.";
    ApiKeyInvalid = "api_key_invalid":
        "The API key is none of the bank's, has expired, or was revoked; or its user has left.",
        "Look at the key, which begins with \"coffer_\". Its owner sees with GET /me/api_keys which keys count, and creates another with POST /me/api_keys.";
    ApiKeyLimitExceeded = "api_key_limit_exceeded":
        "The API key would have moved more within 24 hours than its owner lets it. Nothing was booked.",
        "Send no more than `remaining`, wait until what was moved is a day old, or have the owner create a key that may move more.";
    ApiKeyNetwork = "api_key_network":
        "The owner of this API key has named the networks that it calls from, and this is none of them.",
        "Call from there, or have the owner create a key for this network as well.";
    ApiKeyNotFound = "api_key_not_found":
        "You have no API key with this id that counts. Revoked and expired ones answer the same.",
        "Compare the id with those that GET /me/api_keys lists.";
    ApprovalNotFound = "approval_not_found":
        "There is no approval with this id.",
        "Compare the id with those that GET /approvals lists.";
    ApprovalNotPending = "approval_not_pending":
        "The approval was approved, rejected or has expired: there is nothing left to decide.",
        "See what became of it with GET /approvals/{id}. Request the movement again if it is still wanted.";
    ApprovalRequired = "approval_required":
        "One person at the bank may not have this booked alone: it has to do with their own account, or takes what they moved within a day above the approval amount. In a batch nothing waits for a second approver.",
        "Send it alone, with POST /deposit, /withdraw or /transfer: it is then stored as a pending approval until somebody else decides.";
    AtInTheFuture = "at_in_the_future":
        "A balance was asked for at a moment that has not come yet.",
        "Send a moment that has passed, or leave out `at` for now.";
    AuditLogBusy = "audit_log_busy":
        "Whoever works at the bank looks at other people's accounts and persons only on record, and the audit log cannot be written now.",
        "Try again soon. If it stays so, the bank's log says why: its database takes no changes.";
    AuditorChangesNothing = "auditor_changes_nothing":
        "Auditors read everything and change nothing.",
        "Sign in as somebody who may do this.";
    BadRequest = "bad_request":
        "The server could not understand the request.",
        "Compare it with the API's description at /openapi.json.";
    BalanceMovedOn = "balance_moved_on":
        "The account has another sequence than the request expected by If-Match: something was booked on it meanwhile, and nothing now.",
        "Read the account again, decide anew, and send its new ETag; the header ETag of this answer has it. A weak tag (W/) never matches.";
    BalanceOverflow = "balance_overflow":
        "The balance would become larger than the bank can count.",
        "Use another account.";
    BankAccountCodeMalformed = "bank_account_code_malformed":
        "This is no code for an account of the bank's own.",
        "Send 1 to 32 of the characters a to z, 0 to 9 and _, a letter first, such as \"fees\".";
    BankAccountExists = "bank_account_exists":
        "The bank has an account with this code. Nothing was opened.",
        "Take another code; GET /bank_accounts lists those that are taken. `customers` stands for all customers' accounts.";
    BankAccountNotFound = "bank_account_not_found":
        "The bank has no account of its own with this code.",
        "Send a code that GET /bank_accounts lists; an admin opens another with POST /bank_accounts.";
    BatchRefused = "batch_refused":
        "The batch is atomic and at least one of its items was refused, so nothing of it was booked.",
        "Correct the items that `errors` names and send the batch again, or send it with \"atomic\": false.";
    BatchSize = "batch_size":
        "The batch has no items, or more than it may.",
        "Send 1 to 1,000 movements at a time.";
    BodyIncomplete = "body_incomplete":
        "The request's body did not arrive whole.",
        "Send the request again. With an Idempotency-Key that is safe in any case.";
    BodyMustBeAnObject = "body_must_be_an_object":
        "The body is JSON, but not an object.",
        "Send one JSON object: {\"name\": \"value\"}.";
    BodyTooLarge = "body_too_large":
        "The body is larger than this call takes.",
        "Send less; the detail says how many bytes are allowed. Long batches can be sent in parts.";
    CaptureExceedsHold = "capture_exceeds_hold":
        "More was to be captured than the hold keeps. Nothing was booked.",
        "Capture at most what is held. For more, release the hold and create a larger one.";
    CodeTooLong = "code_too_long":
        "The code is longer than any code of the bank.",
        "Send the six digits that the app shows, or a recovery code.";
    ContentEncodingUnsupported = "content_encoding_unsupported":
        "The body is compressed, which the bank does not take.",
        "Send it as it is, without a header Content-Encoding.";
    CurrencyMismatch = "currency_mismatch":
        "The currencies do not agree: money moves in the currency of its account, and between accounts of one currency.",
        "Leave out `currency`, or choose an account in that currency; GET /accounts says which is which.";
    CurrencyWithdrawn = "currency_withdrawn":
        "ISO 4217 has withdrawn this currency, so no account is opened in it any more. Accounts that there are stay as they are.",
        "Send its successor, which the detail names.";
    CurrentPasswordRequired = "current_password_required":
        "A new address takes the current password, so that nobody with a borrowed token can take over.",
        "Send `current_password`, too.";
    CursorInvalid = "cursor_invalid":
        "The cursor does not belong to this list, or was changed.",
        "Send the `next_cursor` of a page of the same list as it came, or leave it out to start over.";
    DatabaseUnavailable = "database_unavailable":
        "The bank's database does not answer. No movement was booked.",
        "Send the request again, with the same Idempotency-Key, after as many seconds as Retry-After says.";
    DateMalformed = "date_malformed":
        "This is neither a date nor a moment.",
        "Send a date such as 2026-01-31, or a date and time such as 2026-01-31T12:00:00Z; in a URL, write + as %2B.";
    DeliveryNotFound = "delivery_not_found":
        "No such event was delivered to this webhook, or is to be.",
        "List the deliveries of the webhook.";
    DepositsByStaffOnly = "deposits_by_staff_only":
        "In this bank deposits are booked by its staff.",
        "Bring the money to them.";
    DescriptionBlank = "description_blank":
        "The description has no visible character.",
        "Write something, or leave it out.";
    DescriptionControlCharacters = "description_control_characters":
        "The description has a line break, a control character or another one that cannot be seen or that reorders what follows.",
        "Leave out the character that the detail names. Joiners may stand within words, and variation selectors behind what they vary.";
    DescriptionTooLong = "description_too_long":
        "The description is too long.",
        "Send at most 140 characters.";
    DiskFull = "disk_full":
        "The disk that holds the books is full, or has less room than the bank keeps in reserve. Nothing was booked or opened.",
        "Read on, and send the request again later, with the same Idempotency-Key. Whoever runs the bank makes room; it goes on by itself.";
    DuplicateField = "duplicate_field":
        "A field or parameter came twice.",
        "Send it once.";
    EmailMalformed = "email_malformed":
        "This is no e-mail address that the bank can take.",
        "Send an address such as ada@example.com.";
    EmailTaken = "email_taken":
        "Somebody has signed up with this address already.",
        "Sign in with POST /login, or use another address.";
    EmailTooLong = "email_too_long":
        "The address is longer than an e-mail address can be.",
        "Send at most 254 characters.";
    EmailVerified = "email_verified":
        "You have verified your address already.",
        "There is nothing to do.";
    EventTypesMalformed = "event_types_malformed":
        "The list of types is empty, or has one twice.",
        "Name at least one type, each once; leave the field out for all.";
    EventsMissed = "events_missed":
        "Events after this one were deleted after 30 days, or were not written because nobody listened.",
        "Read anew what you need to know, such as balances, and go on with events without `after`.";
    ExpectationFailed = "expectation_failed":
        "The header Expect asks for something that the bank does not know.",
        "Leave it out, or send \"Expect: 100-continue\".";
    ExpiresInThePast = "expires_in_the_past":
        "What is asked for would have expired already.",
        "Send a moment that is still to come, or leave `expires_at` out.";
    FrozenByAdmin = "frozen_by_admin":
        "An admin has frozen this, so staff cannot release it.",
        "Ask an admin.";
    GroupBlank = "group_blank":
        "The group is empty, or shows nothing.",
        "Send 1 to 64 characters, such as the name of a run of payments, or leave the field out.";
    GroupControlCharacters = "group_control_characters":
        "The group has a line break, a control character or another one that cannot be seen or that reorders what follows.",
        "Leave out the character that the detail names.";
    GroupTooLarge = "group_too_large":
        "The group has more than 1,000 movements, which is the most that are reversed at once. Nothing was booked.",
        "Reverse its movements one by one, with POST /transactions/{id}/reverse.";
    GroupTooLong = "group_too_long":
        "The group has more than 64 characters.",
        "Send at most 64 characters.";
    HoldCaptured = "hold_captured":
        "The hold was captured before, and a hold is captured once. Nothing was booked now.",
        "GET /transactions/{id} with the id of the hold shows what has moved.";
    HoldExpired = "hold_expired":
        "The hold has expired, so its money is free again. Nothing was booked.",
        "Create a new hold, or request the movement itself.";
    HoldLifetime = "hold_lifetime":
        "A hold ends in the future, and 31 days away at most.",
        "Send `expires_at` as a moment within the next 31 days, or leave it out for seven.";
    HoldNotFound = "hold_not_found":
        "There is no hold with this id on your accounts.",
        "Compare the id with those that GET /holds lists.";
    HoldOfBank = "hold_of_bank":
        "The bank has created this hold, so only the bank captures or releases it.",
        "Ask the bank, or wait until it expires.";
    HoldOfCustomer = "hold_of_customer":
        "The customer has created this hold, so only the customer captures it.",
        "Release it if it is to end, and request the movement yourself.";
    HoldReleased = "hold_released":
        "The hold was released, so its money is free again. Nothing was booked.",
        "Create a new hold, or request the movement itself.";
    HostInvalid = "host_invalid":
        "The request has no Host header, more than one, or one that is no host.",
        "Send one Host header with the name or address that you connect to, as every HTTP/1.1 client does by itself.";
    IdMalformed = "id_malformed":
        "This is no id: ids are UUIDs.",
        "Send the id as the API gave it to you.";
    IdempotencyKeyMalformed = "idempotency_key_malformed":
        "The header Idempotency-Key holds no key, or came twice.",
        "Send one key of 1 to 255 visible ASCII characters. A UUID will do.";
    IdempotencyKeyReused = "idempotency_key_reused":
        "You have used this Idempotency-Key for another request. Nothing was booked now.",
        "Send a new key with a new request. To repeat a request, send exactly the same one.";
    IfMatchMalformed = "if_match_malformed":
        "The header If-Match is no list of ETags.",
        "Send an ETag as it came, in its quotes, such as \"17\"; several with commas between, or * for any. Or leave the header out.";
    IfMatchUnsupported = "if_match_unsupported":
        "The header If-Match came with a request that may move money on several accounts, and cannot say which of them it means.",
        "Leave the header out, or send the movements one by one.";
    InsufficientFunds = "insufficient_funds":
        "There is less on the account than was asked for.",
        "Send a smaller amount or pay in first; the detail says how much is available.";
    InternalError = "internal_error":
        "The bank failed to handle the request: this is a fault of the bank, not of yours.",
        "Report the request_id, which the bank's log has, too. It is safe to send a movement again with its Idempotency-Key.";
    InvalidCredentials = "invalid_credentials":
        "The address, the password or both are wrong. Which of them is not said, to tell guessers nothing.",
        "Try again, or become a customer with POST /create_account.";
    InvalidRefreshToken = "invalid_refresh_token":
        "The refresh token is not valid, was used before, or its session has ended.",
        "Sign in again with POST /login. Each refresh token is good once: keep the one that comes with every answer.";
    InvalidSecondFactor = "invalid_second_factor":
        "The code is wrong, or was used before.",
        "Wait for the next one that the app shows, or send a recovery code. Each code is good once.";
    InvalidToken = "invalid_token":
        "The access token is not valid, has expired, or its session has ended. Ten wrong passwords or codes beside a token end its session.",
        "Get a new one with POST /refresh, or sign in again with POST /login.";
    InvalidValue = "invalid_value":
        "A field or parameter has a value that it cannot have.",
        "The detail says what to send instead.";
    IsAReversal = "is_a_reversal":
        "The movement undoes another one, and a reversal is not reversed.",
        "If the movement that it has undone should stand after all, request that one anew.";
    LabelBlank = "label_blank":
        "The account's name has no visible character.",
        "Write something, or send null for no name.";
    LabelControlCharacters = "label_control_characters":
        "The account's name has a line break, a control character or another one that cannot be seen or that reorders what follows.",
        "Leave out the character that the detail names. Joiners may stand within words, and variation selectors behind what they vary.";
    LabelTooLong = "label_too_long":
        "The account's name is too long.",
        "Send at most 50 characters.";
    LastAdmin = "last_admin":
        "This is the last admin who could act: without one, nobody could give roles any more.",
        "Make another admin first, here or with `coffer admin create`.";
    LedgerBusy = "ledger_busy":
        "More movements are waiting than the bank can take. Nothing was booked.",
        "Send the request again, with the same Idempotency-Key, after as many seconds as Retry-After says.";
    LengthAmbiguous = "length_ambiguous":
        "The request says twice how long its body is: with Content-Length and with Transfer-Encoding.",
        "Send one of them. Nothing was done; the connection was closed, because two programs in a row could have read two requests in it.";
    LimitAboveBanks = "limit_above_banks":
        "You asked for a limit of your own that is higher than the bank allows for the account.",
        "Send at most what the detail says, or ask the bank for more. GET /accounts/{account_number}/limits shows both.";
    LimitAboveMaximum = "limit_above_maximum":
        "The limit is higher than any that can be set.",
        "Send less, or leave the field out: then it is not limited.";
    LimitChangePending = "limit_change_pending":
        "Another change of this account's limits waits for approval. One waits at a time.",
        "Have the one that the detail names approved or rejected.";
    LimitExceeded = "limit_exceeded":
        "More would leave the account than its limits allow. Nothing was booked.",
        "`limit` says which one it is, and `remaining` what is left of it until `resets_at`. Send less, wait until then, or ask whoever set the limit for more.";
    LimitOutOfRange = "limit_out_of_range":
        "A page cannot have this size.",
        "Send a number from 1 to the one that the detail names, and go on with `next_cursor`.";
    ListEmpty = "list_empty":
        "The list has nothing in it.",
        "Name at least one item, or leave the field out where it may be left out.";
    ListTooLong = "list_too_long":
        "The list has more items than this field takes.",
        "Name no more than the detail says.";
    LoginBusy = "login_busy":
        "More people are signing in than the server can check passwords for.",
        "Try again in a moment.";
    MailNotSetUp = "mail_not_set_up":
        "This bank sends no mail.",
        "Ask its staff: an admin gives a link to set a password. Whoever runs the bank sets COFFER_SMTP_URL.";
    MalformedJson = "malformed_json":
        "The body is no valid JSON.",
        "Send one JSON object; the detail says where the first mistake is.";
    MetadataBlank = "metadata_blank":
        "A value of the metadata is empty, or shows nothing.",
        "Send at least one visible character, or leave the key out. On an account, null removes a key.";
    MetadataControlCharacters = "metadata_control_characters":
        "A value of the metadata has control characters, or others that cannot be seen.",
        "Leave out the character that the detail names.";
    MetadataKeyMalformed = "metadata_key_malformed":
        "This is no key of metadata.",
        "Send 1 to 32 small letters from a to z, digits and underscores, such as order_id.";
    MetadataTooLarge = "metadata_too_large":
        "The metadata has more than 10 pairs.",
        "Send at most 10. On an account, remove keys first: send null for each of them.";
    MetadataTooLong = "metadata_too_long":
        "A value of the metadata has more than 140 characters.",
        "Send at most 140 characters, such as an id by which you find the rest.";
    MethodNotAllowed = "method_not_allowed":
        "This path exists, but not with this method.",
        "Use one of the methods that the header Allow lists.";
    MetricsOff = "metrics_off":
        "Metrics are switched off, or served on a listener of their own.",
        "Whoever runs the bank switches them on with COFFER_METRICS=true, and knows where COFFER_ADMIN_LISTEN serves them.";
    MissingField = "missing_field":
        "A field or parameter that is required was left out.",
        "Send it; `errors` names it.";
    MissingToken = "missing_token":
        "This call is only for those who have signed in.",
        "Sign in with POST /login and send the header \"Authorization: Bearer <access_token>\".";
    NameBlank = "name_blank":
        "The name has no visible character.",
        "Send your name.";
    NameControlCharacters = "name_control_characters":
        "The name has a line break, a control character or another one that cannot be seen or that reorders what follows.",
        "Leave out the character that the detail names. Joiners may stand within words, and variation selectors behind what they vary.";
    NameTooLong = "name_too_long":
        "The name is too long.",
        "Send at most 100 characters.";
    NetworkMalformed = "network_malformed":
        "This is no address and no network.",
        "Send an address such as \"192.0.2.1\" or a network in CIDR notation such as \"192.0.2.0/24\".";
    NotAcceptable = "not_acceptable":
        "The header Accept allows none of the forms that this answer can have.",
        "Accept one of those that the detail names, or send no Accept at all.";
    NotForOneself = "not_for_oneself":
        "Nobody gives themselves a role, or freezes or releases themselves or their own account.",
        "Ask somebody else who may.";
    NotInAGroup = "not_in_a_group":
        "The movement was not booked as part of a group. Nothing was booked now.",
        "Reverse it alone, with POST /transactions/{id}/reverse.";
    NotReady = "not_ready":
        "The server runs, but its database does not answer, its disk is full, or its schema is not up to date.",
        "Wait. If it stays so, whoever runs the bank finds the reason in its log.";
    NoteBlank = "note_blank":
        "The note is empty.",
        "Write what is to be noted.";
    NoteControlCharacters = "note_control_characters":
        "The note has characters that cannot be seen or that reorder others.",
        "Send plain text on one line.";
    NoteTooLong = "note_too_long":
        "The note has more than 1,000 characters.",
        "Make several notes of it.";
    NothingToConfirm = "nothing_to_confirm":
        "No second factor is waiting to be confirmed.",
        "Start with POST /me/second_factor. One that was confirmed needs no more.";
    OutcomeUnknown = "outcome_unknown":
        "The database did not answer the commit, so the bank does not know whether it took effect. It did so whole or not at all.",
        "Send the request again with the same Idempotency-Key: a movement is booked once. Without a key, look first: GET /transactions/{transaction_id} answers 404 if nothing was booked.";
    OverdraftInUse = "overdraft_in_use":
        "The overdraft cannot be lower than what is in use of it, by the balance and by what is held.",
        "Set at least what `used` says, or wait until it is paid back.";
    OverdraftOfBank = "overdraft_of_bank":
        "The overdraft is the bank's to set, not the owner's.",
        "Leave `overdraft` out, and ask the bank for it.";
    OverlapTooLong = "overlap_too_long":
        "The former secret would count for longer than the bank lets it.",
        "Send at most 2592000 seconds, which is 30 days.";
    OwnAccount = "own_account":
        "Nobody at the bank decides what goes to or from their own account, or what is about their own access.",
        "Ask somebody else at the bank to decide it.";
    OwnApproval = "own_approval":
        "Nobody approves what they have asked for themselves.",
        "Ask somebody else at the bank. You may reject it, which takes it back.";
    PasswordCommon = "password_common":
        "This password is among the first that a guesser tries.",
        "Choose another. A few words that have nothing to do with each other are good and easy to keep.";
    PasswordGuessable = "password_guessable":
        "The password is your own name or address.",
        "Choose one that has nothing to do with you.";
    PasswordLinkNotFound = "password_link_not_found":
        "There is no such link to set a password, or it was used or has expired.",
        "Ask the bank for another one: each counts once.";
    PasswordTooLong = "password_too_long":
        "The password is too long.",
        "Send at most 128 characters.";
    PasswordTooShort = "password_too_short":
        "The password is too short.",
        "Send at least 8 characters, of any kind.";
    PathNotFound = "path_not_found":
        "There is nothing at this path.",
        "Compare it with the paths in /openapi.json, which /swagger-ui/ shows.";
    PayeeExists = "payee_exists":
        "You have a payee with this account already.",
        "Use that one, or delete it first: GET /me/payees lists them.";
    PayeeNotFound = "payee_not_found":
        "You have no payee with this id.",
        "Compare the id with those that GET /me/payees lists.";
    PeriodReversed = "period_reversed":
        "The period ends before it begins, or begins in the future.",
        "Send a `from` that has passed and is not after `to`.";
    ProblemNotFound = "problem_not_found":
        "The bank knows no problem with this code.",
        "GET /problems lists all of them.";
    ReasonBlank = "reason_blank":
        "The reason has no visible character.",
        "Write something, or leave it out.";
    ReasonControlCharacters = "reason_control_characters":
        "The reason has a line break, a control character or another one that cannot be seen or that reorders what follows.",
        "Leave out the character that the detail names. Joiners may stand within words, and variation selectors behind what they vary.";
    ReasonTooLong = "reason_too_long":
        "The reason is too long.",
        "Send at most 140 characters.";
    ReceiverNotFound = "receiver_not_found":
        "No account has the number that the money was to go to. Nothing was booked.",
        "Compare the number with where it came from.";
    ReceiverUnavailable = "receiver_unavailable":
        "The account that the money was to go to is closed or frozen. Nothing was booked.",
        "Ask the receiver for another account.";
    RecentSignInRequired = "recent_sign_in_required":
        "What was asked for cannot be taken back, or is above the limit that you have set yourself, so it takes your password or a code within the last five minutes.",
        "Send your password or a code to POST /me/proof, or sign in again, and repeat the request with the new access token.";
    ReferenceBlank = "reference_blank":
        "The reference is empty, or shows nothing.",
        "Send 1 to 64 characters, such as the number of an invoice, or leave the field out.";
    ReferenceControlCharacters = "reference_control_characters":
        "The reference has a line break, a control character or another one that cannot be seen or that reorders what follows.",
        "Leave out the character that the detail names.";
    ReferenceTaken = "reference_taken":
        "A movement of yours has this reference, which it keeps for good, also when it was rejected or released. Nothing was booked now.",
        "Look that movement up, which Location and `transaction_id` name. For another one, send another reference.";
    ReferenceTooLong = "reference_too_long":
        "The reference has more than 64 characters.",
        "Send at most 64 characters.";
    ReplayUnderWay = "replay_under_way":
        "Events are being sent anew to this webhook.",
        "Look at the webhook, and ask again when `is_replaying` is false.";
    RequestTimeout = "request_timeout":
        "The request took too long to arrive.",
        "Send it again, in one go.";
    RequesterNotStaff = "requester_not_staff":
        "Whoever asked for the movement no longer works at the bank, or is frozen, so it is not carried out.",
        "Reject it, and request it yourself if it is still wanted.";
    ReversalPending = "reversal_pending":
        "A reversal of this movement waits for approval already. Its money is reserved once, so only one waits at a time.",
        "Have the one that the detail names approved or rejected.";
    RoleRequired = "role_required":
        "This is only for certain people who work at the bank.",
        "The detail says which role it takes. An admin gives roles with PUT /users/{user_id}/role.";
    SameAccount = "same_account":
        "A transfer goes from one account to another; both were the same.",
        "Send two different account numbers.";
    ScopeAboveRole = "scope_above_role":
        "The scope staff is for API keys of those who work at the bank.",
        "Leave the scope out: a customer's key reads with `read` and moves with `move`.";
    ScopeRequired = "scope_required":
        "The API key lacks the scope that this takes, or is for other accounts.",
        "Use a key with the scope that the detail names; its owner creates one with POST /me/api_keys.";
    SearchBlank = "search_blank":
        "There is nothing to search for.",
        "Send part of a name or address, or an account number, or leave `search` out.";
    SearchControlCharacters = "search_control_characters":
        "The text to search for has a line break, a control character or another one that cannot be seen.",
        "Leave out the character that the detail names.";
    SearchTooLong = "search_too_long":
        "The text to search for is too long.",
        "Send at most 100 characters.";
    SecondFactorEnabled = "second_factor_enabled":
        "There is a second factor already.",
        "To change it, take it away with POST /me/second_factor/remove and enrol another.";
    SecondFactorEnrolmentRequired = "second_factor_enrolment_required":
        "Your role takes a second factor, and you have none yet.",
        "Enrol one with POST /me/second_factor, confirm it, then sign in with it.";
    SecondFactorMissing = "second_factor_missing":
        "There is no second factor to remove.",
        "Nothing needs to be done.";
    SecondFactorRequired = "second_factor_required":
        "The password is right, and this user has a second factor.",
        "Send the password again with `code`: six digits of the authenticator app, or a recovery code.";
    ServiceUser = "service_user":
        "The user is a program: it has API keys, and no password.",
        "Give it a key with `coffer admin key create`.";
    SessionNotFound = "session_not_found":
        "There is no such session, or it has ended.",
        "GET /me/sessions lists those that you have, GET /users/{user_id}/sessions those of somebody else.";
    SessionRequired = "session_required":
        "This is for people: no API key does it, whatever its scopes.",
        "Sign in with POST /login, and send the access token.";
    ShuttingDown = "shutting_down":
        "The server is shutting down and took no more movements.",
        "Send the request again with the same Idempotency-Key: another instance, or this one after its restart, answers.";
    SignUpByStaffOnly = "sign_up_by_staff_only":
        "This bank lets only its staff make somebody a customer.",
        "Ask the bank. Staff and admins send their access token along; GET /bank says how it is set up.";
    StaffScopeWithAccounts = "staff_scope_with_accounts":
        "A key with the scope staff is for any account, so it cannot be bound to some.",
        "Leave out `accounts`, or the scope staff: a key without it is bound to your own accounts.";
    StatementsBusy = "statements_busy":
        "Too many long statements are being read at once.",
        "Send the request again after as many seconds as Retry-After says, or ask for a shorter period.";
    TextBlank = "text_blank":
        "There is nothing to look for.",
        "Send part of a description, or leave `text` out.";
    TextControlCharacters = "text_control_characters":
        "The text to look for has a line break, a control character or another one that cannot be seen.",
        "Leave out the character that the detail names: no description has it.";
    TextTooLong = "text_too_long":
        "The text to look for is longer than any description.",
        "Send at most 140 characters.";
    TimedOut = "timed_out":
        "The bank could not answer in time. What was asked for may have been done all the same.",
        "See whether it was done before you send the request again.";
    TimestampMalformed = "timestamp_malformed":
        "This is no moment as RFC 3339 writes it.",
        "Send a date and time with its offset, such as 2026-01-31T12:00:00Z; in a URL, write + as %2B.";
    TooManyAccounts = "too_many_accounts":
        "You have 100 open accounts, which is the most.",
        "Close one that you no longer need.";
    TooManyApiKeys = "too_many_api_keys":
        "You have as many API keys as one may have.",
        "Revoke one that is not used: GET /me/api_keys says when each was used last.";
    TooManyBankAccounts = "too_many_bank_accounts":
        "The bank has opened 1,000 accounts of its own, which is the most.",
        "Use one of those that GET /bank_accounts lists.";
    TooManyChanges = "too_many_changes":
        "You have signed in, or changed other things than money, more often in a day than the bank takes from one caller.",
        "Wait as many seconds as Retry-After says. A program keeps its session and renews it with POST /refresh, instead of signing in each time.";
    TooManyCodes = "too_many_codes":
        "Too many wrong codes came in a short time.",
        "Wait as many seconds as Retry-After says.";
    TooManyConnections = "too_many_connections":
        "More connections are open, from your network or from all, than the bank takes.",
        "Close some that you do not need, keep the others for several requests, and try again.";
    TooManyHolds = "too_many_holds":
        "As many holds and requests for approval wait on the account as may at once.",
        "Capture or release some of them, or wait until they expire.";
    TooManyMails = "too_many_mails":
        "More mails were asked for in an hour than the bank sends.",
        "Look for the last one, among unwanted mail, too; or wait as long as Retry-After says.";
    TooManyMovements = "too_many_movements":
        "You have had more movements booked, in a short time or in a day, than the bank takes from one caller. Nothing was booked now.",
        "Wait as many seconds as Retry-After says, or send fewer at once; the header RateLimit-Policy names the limit and its size. Whoever runs the bank sets it with COFFER_MOVEMENT_RATE and COFFER_MOVEMENTS_PER_DAY.";
    TooManyNameChecks = "too_many_name_checks":
        "You have had as many names checked in an hour as one may, so that nobody finds out names by trying.",
        "Wait as long as Retry-After says.";
    TooManyOpenings = "too_many_openings":
        "You have opened as many accounts in 24 hours as one may, whether or not they are closed again.",
        "Wait as many seconds as Retry-After says.";
    TooManyPayees = "too_many_payees":
        "You have as many payees as one may have.",
        "Delete one that you no longer pay.";
    TooManyPendingApprovals = "too_many_pending_approvals":
        "As many requests as one person may have wait for approval.",
        "Have some of them approved or rejected, or take them back.";
    TooManyRequests = "too_many_requests":
        "More requests came than the bank takes from one caller or one address in a time.",
        "Wait as many seconds as Retry-After says; the header RateLimit tells what is left.";
    TooManySignIns = "too_many_sign_ins":
        "Too many wrong passwords came in a short time, and the right one is not looked at either until then; or you have signed in hundreds of times.",
        "Wait as many seconds as Retry-After says. Keep a session and renew its tokens with POST /refresh.";
    TooManySignUps = "too_many_sign_ups":
        "More people have signed up from your network in an hour than the bank takes.",
        "Wait as many seconds as Retry-After says. Whoever runs the bank sets the limit with COFFER_SIGN_UPS_PER_HOUR.";
    TooManyWaiting = "too_many_waiting":
        "More requests wait for an account to change (Prefer: wait), of one caller or of all, than the bank lets wait.",
        "Let some of them end, or leave the header Prefer out: then the answer comes at once.";
    TooManyWebhookSecrets = "too_many_webhook_secrets":
        "The webhook has got several secrets within a day, which all still sign.",
        "Wait until the first of them has ended, 24 hours after it was replaced.";
    TooManyWebhooks = "too_many_webhooks":
        "The bank has as many webhooks as it may have.",
        "Delete one that is not needed any more.";
    TransactionNotFound = "transaction_not_found":
        "There is no such movement on your accounts.",
        "GET /transactions?account_number= lists those that there are.";
    TransferEncodingUnsupported = "transfer_encoding_unsupported":
        "The body comes in a transfer coding other than chunked, or in chunks twice.",
        "Send a Content-Length, or \"Transfer-Encoding: chunked\" alone.";
    UnknownClient = "unknown_client":
        "The header Coffer-Client has a value that the bank does not know.",
        "Send \"web\" to keep the refresh token in a cookie, or leave the header out.";
    UnknownCurrency = "unknown_currency":
        "This is no currency that the bank knows.",
        "Send a three-letter code of ISO 4217 in capitals, such as \"USD\".";
    UnknownField = "unknown_field":
        "There is a field or parameter that this call does not have. It is refused, so that no misspelt one goes unnoticed.",
        "Leave it out or correct its name; the detail lists those that are known.";
    UnknownValue = "unknown_value":
        "This field or parameter takes only certain values.",
        "Send one of those that the detail lists.";
    UnsupportedMediaType = "unsupported_media_type":
        "The body is not declared as JSON.",
        "Send the header \"Content-Type: application/json\".";
    UrlMalformed = "url_malformed":
        "This is no URL that a webhook can have.",
        "Send one that begins with https:// and has no user, password or fragment.";
    UserFrozen = "user_frozen":
        "The bank has frozen you: you may look and sign out, but change nothing.",
        "Ask the bank.";
    UserNotFound = "user_not_found":
        "There is no such user, or none that you may see.",
        "GET /users lists the users to those who may see them.";
    ValidationFailed = "validation_failed":
        "Several fields must be corrected.",
        "`errors` names each of them, with what to send instead.";
    VerificationLinkNotFound = "verification_link_not_found":
        "There is no such link to verify an address, or it was used or has expired, or the address has changed since.",
        "Have another one sent: POST /me/email_verification.";
    WebhookDisabled = "webhook_disabled":
        "The webhook is disabled, and nothing is sent to it.",
        "Enable it, and ask again.";
    WebhookNotFound = "webhook_not_found":
        "There is no such webhook.",
        "List the webhooks of the bank.";
    WholeUnitsMalformed = "whole_units_malformed":
        "This is no number of whole units.",
        "Send digits alone as a JSON string, such as \"500\", or null for none.";
    WrongPassword = "wrong_password":
        "The current password is wrong.",
        "Send the password that you sign in with now.";
    WrongType = "wrong_type":
        "A field has another type than it should: a number where a text is expected, say.",
        "Send the type that the detail names.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_each_can_be_found() {
        assert!(ProblemCode::ALL.is_sorted_by(|one, next| one.name() < next.name()));
        assert!(ProblemCode::ALL.iter().all(|&code| ProblemCode::from_name(code.name()) == Some(code)));
        assert_eq!(ProblemCode::from_name("no_such_code"), None);
    }

    #[test]
    fn everything_is_said_in_whole_sentences() {
        for code in ProblemCode::ALL {
            let texts = [code.what_happened(), code.what_to_do()];
            assert!(texts.iter().all(|text| text.ends_with('.')), "{code}");
        }
    }
}
