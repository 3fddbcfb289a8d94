"""What the fuzzer must know of the bank and no OpenAPI document can say: who calls, what exists, and why data that fits
its schema may be refused all the same."""

import base64
import hashlib
import hmac
import itertools
import json
import os
import re
import secrets
import struct
import threading
import time
import unicodedata
import urllib.error
import urllib.request
import uuid

import schemathesis

BANK = os.environ["FUZZ_BANK"]
ROLE = os.environ["FUZZ_ROLE"]
PASSWORD = os.environ["FUZZ_PASSWORD"]
APPROVAL_ABOVE = int(os.environ["FUZZ_APPROVAL_ABOVE"])
# Customers who come and go: what they do may end the session that asks, and then the next of them takes over.
PASSES_BY = ROLE == "passer-by"

# Codes of 422 that data may meet although it fits the schema.
BEYOND_ANY_SCHEMA = {
    "account_number_check_digits",
    "amount_above_maximum",  # as configured
    "amount_overflow",
    "amount_too_many_decimals",  # the account's currency decides
    "at_in_the_future",
    "currency_mismatch",  # with the account's
    "currency_withdrawn",  # as of today
    "cursor_invalid",  # of another list
    "idempotency_key_reused",
    "if_match_malformed",  # the phase `coverage` sends 0 in a header, whatever its pattern
    "password_common",
    "password_guessable",  # the same as another field
    "period_reversed",
    "same_account",
    "unknown_currency",  # not all of three capitals are one
}
# The same, of single operations.
BEYOND_THE_SCHEMA_OF = {
    "deposit": {"against_by_staff_only", "bank_account_not_found"},  # who asks, and what the bank has
    "withdraw": {"against_by_staff_only", "bank_account_not_found"},
    # the type of a movement decides which accounts it has, and whether it ends
    "batch": {"missing_field", "unknown_field", "hold_lifetime", "against_by_staff_only", "bank_account_not_found"},
    "create_hold": {"missing_field", "unknown_field", "hold_lifetime"},  # one account or two; and the clock decides
    "capture_hold": {"capture_exceeds_hold"},
    "list_transactions": {"missing_field"},  # customers say which account
    "update_account": {"metadata_too_large"},  # with what was noted before
    "set_limits": {"overdraft_of_bank", "limit_above_banks"},  # who owns the account, and what the bank allows
    "take_statement_as_csv": {"date_malformed"},
    "take_statement": {"date_malformed"},  # the pattern lets a 31st of February pass
    "refresh": {"missing_field", "unknown_field"},  # the header says whether the token is in the cookie
    "prove": {"missing_field", "unknown_field"},  # password or code, one of them
    # the clock, the role and what accounts the caller has; and not all that looks like a network is one
    "create_api_key": {
        "expires_in_the_past",
        "scope_above_role",
        "staff_scope_with_accounts",
        "account_not_found",
        "network_malformed",
    },
    "list_events": {"id_malformed"},  # as if_match_malformed: whatever the header's format
    "update_me": {"current_password_required"},  # for a new address, not for a new name
    # each type once; and which addresses the bank may call
    "create_webhook": {"event_types_malformed", "address_not_allowed", "url_malformed"},
    "update_webhook": {"event_types_malformed", "address_not_allowed", "url_malformed"},
}

# A proof of the password counts for five minutes; it is given anew before that.
PROOF_SECONDS = 240

# Ten wrong passwords or codes end the session that sends them: the next caller takes over before that.
GUESSES = {"prove", "update_me", "change_password", "enrol_second_factor", "confirm_second_factor", "remove_second_factor"}
MAX_GUESSES = 9

# What the pattern of texts lets through and the bank may refuse: joiners and variation selectors, whose place it looks at,
# and what cannot be seen beyond the Basic Multilingual Plane, which no pattern can name for every reader of patterns.
MAY_HIDE = re.compile("[\u180b-\u180f\u200c\u200d\ufe00-\ufe0f\U00010000-\U0010ffff]")

FOR_ADMINS = {
    "set_role",
    "open_bank_account",
    "end_sessions_of_user",
    "erase_user",
    "reset_second_factor",
    "list_audit_records",
    "take_audit_log_as_csv",
    "list_api_keys_of_user",
    "revoke_api_keys_of_user",
    "list_webhooks",
    "create_webhook",
    "show_webhook",
    "update_webhook",
    "delete_webhook",
    "rotate_webhook_secret",
    "test_webhook",
    "list_webhook_deliveries",
    "retry_webhook_delivery",
    "replay_webhook",
}


class Caller:
    """Whose token goes with each request, and what that user has."""

    def __init__(self, token):
        self.token = token
        self.address = "192.0.2.1"
        self.spare_session = None
        self.secret = None
        self.recovery_codes = []
        self.proven_at = time.monotonic()
        self.wrong_guesses = 0


resident = Caller(os.environ["FUZZ_TOKEN"])
clerk = Caller(None)
lock = threading.RLock()
passer_by = None
next_refresh_token = None
turns = itertools.count()
reversals = itertools.count()
tokens_of_passers_by = set()


def call(method, path, body=None, caller=None):
    headers = {"Content-Type": "application/json"}
    if caller is not None:
        headers["X-Forwarded-For"] = caller.address
        if caller.token:
            headers["Authorization"] = f"Bearer {caller.token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(BANK + path, method=method, data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        text = answer.read()
        return json.loads(text) if text else None


def sign_in(email, caller):
    return call("POST", "/login", {"email": email, "password": PASSWORD}, caller)["access_token"]


def take_second_factor(caller):
    caller.secret = caller.secret or call("POST", "/me/second_factor", {"password": PASSWORD}, caller)["secret"]
    confirmed = call("POST", "/me/second_factor/confirm", {"code": code_of(caller.secret)}, caller)
    caller.recovery_codes = confirmed["recovery_codes"]


def new_passer_by():
    """A customer with no account left, so that nothing keeps them, and with a network of their own: wrong passwords of
    one are not counted against the next."""
    caller = Caller(None)
    caller.address = f"2001:db8:{secrets.randbelow(65536):x}:{secrets.randbelow(65536):x}::1"
    email = f"{secrets.token_hex(8)}@example.com"
    new = call("POST", "/create_account", {"name": "Mortimer", "email": email, "password": PASSWORD}, caller)
    caller.token = sign_in(email, caller)
    caller.spare_session = call("GET", "/me/sessions", caller=caller)["data"][0]["id"]
    caller.token = sign_in(email, caller)
    call("DELETE", f"/accounts/{new['account']['account_number']}", caller=caller)
    tokens_of_passers_by.add(caller.token)
    return caller


def who_calls():
    global passer_by
    if not PASSES_BY:
        with lock:
            if time.monotonic() - resident.proven_at > PROOF_SECONDS:
                proof = call("POST", "/me/proof", {"password": PASSWORD}, resident)
                resident.token, resident.proven_at = proof["access_token"], time.monotonic()
        return resident
    with lock:
        if passer_by is None:
            passer_by = new_passer_by()
        return passer_by


@schemathesis.auth(refresh_interval=None)
class Bearer:
    def get(self, case, context):
        return who_calls().token

    def set(self, case, data, context):
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"


def entries_of(name):
    with open(f"{name}.dict") as lines:
        return [line.strip().strip('"') for line in lines]


# What the document gives as examples, and what stands for it on this bank.
NUMBERS = entries_of("accounts")
EXAMPLES = {
    "10000000000180": NUMBERS[0],
    "10000000000277": NUMBERS[1],
    "correct horse battery staple": PASSWORD,
}
MISTAKES = entries_of("mistakes")
ID_OF = {
    "/transactions/{id}": entries_of("movements")[0],
    "/transactions/{id}/reverse": MISTAKES[0],
    "/approvals/{id}": entries_of("approvals")[0],
    "/approvals/{id}/approve": entries_of("approvals")[1],
    "/approvals/{id}/reject": entries_of("approvals")[2],
    "/webhooks/{id}": entries_of("webhooks")[0],
    "/webhooks/{id}/secret": entries_of("webhooks")[0],
    "/webhooks/{id}/test": entries_of("webhooks")[0],
    "/webhooks/{id}/replay": entries_of("webhooks")[0],
    "/webhooks/{id}/deliveries": entries_of("webhooks")[0],
    "/holds/{id}": entries_of("holds")[0],
    "/holds/{id}/capture": entries_of("holds")[1],
    "/holds/{id}/release": entries_of("holds")[2],
}
# A name that leads nowhere, for good (RFC 6761, section 6.4).
NOWHERE = "https://fuzz.invalid/hook"
USER = entries_of("users")[0]
CALLER_ID = entries_of("owners")[0]
# Has a second factor, for an admin to take away.
ENROLLED, ENROLLED_EMAIL = entries_of("users")[2], "edsger@example.com"


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Examples of the document become ones of this bank, or each would be answered with 404."""

    def replaced(value):
        if isinstance(value, dict):
            return {name: replaced(member) for name, member in value.items()}
        if isinstance(value, list):
            return [replaced(item) for item in value]
        return EXAMPLES.get(value, value) if isinstance(value, str) else value

    raw_schema.update(replaced(raw_schema))
    # Every status that is met must be named: the default would let any pass.
    for item in raw_schema["paths"].values():
        for operation in item.values():
            operation["responses"].pop("default", None)
    for path, item in raw_schema["paths"].items():
        for operation in item.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] == "id" and path in ID_OF:
                    parameter["example"] = ID_OF[path]
                if parameter["name"] == "user_id":
                    parameter["example"] = ENROLLED if "second_factor" in path else USER
                if parameter["name"] == "account_number" and path.endswith("/status"):
                    parameter["example"] = entries_of("others")[0]
    login = raw_schema["components"]["schemas"]["LoginRequest"]
    login["example"] = {"email": "ada@example.com", "password": PASSWORD}
    if ROLE == "admin":
        enrolled = Caller(None)
        enrolled.token = sign_in(ENROLLED_EMAIL, enrolled)
        take_second_factor(enrolled)


def code_of(secret):
    """The one-time code of this moment (RFC 6238)."""
    counter = struct.pack(">Q", int(time.time()) // 30)
    digest = hmac.new(base64.b32decode(secret), counter, hashlib.sha1).digest()
    number = struct.unpack(">I", digest[digest[-1] & 15 :][:4])[0] & 0x7FFFFFFF
    return f"{number % 1000000:06}"


def operation_id(case):
    return case.operation.definition.raw.get("operationId")


def is_good(case):
    return case.meta is None or case.meta.generation.mode.is_positive


def is_step(case):
    """Whether this request is a step along a link."""
    return case.meta is not None and case.meta.phase.name.value == "stateful"


def is_example(case):
    """Whether this request is an example of the document, of which there is one for each operation."""
    return case.meta is not None and case.meta.phase.name.value == "examples"


def give_refresh_token(case):
    """One that is good, once: the last answer had it."""
    global next_refresh_token
    with lock:
        token, next_refresh_token = next_refresh_token, None
    if token is None:
        # Somebody whose password is not guessed at, from a network of their own.
        try:
            body = {"email": "grace@example.com", "password": PASSWORD}
            token = call("POST", "/login", body, Caller(None))["refresh_token"]
        except urllib.error.HTTPError:
            return  # the fuzzer has made something of this user that may not sign in
    case.body = {"refresh_token": token}
    if case.headers:
        case.headers.pop("Coffer-Client", None)


def account_to_close():
    """An account of the caller with no money on it, and a new one while there is room for it."""
    try:
        return call("POST", "/accounts", {}, resident)["account_number"]
    except urllib.error.HTTPError:
        # The fuzzer has opened as many as one may have.
        accounts = call("GET", "/accounts?limit=100", caller=resident)["data"]
        empty = [each for each in accounts if each["status"] == "open" and float(each["balance"]) == 0]
        return empty[0]["account_number"] if empty else None


def approval_to_decide():
    """The request of a clerk that has not been decided yet, and a new one while there is room for it."""
    with lock:
        if clerk.token is None or time.monotonic() - clerk.proven_at > PROOF_SECONDS:
            clerk.token, clerk.proven_at = sign_in("clerk@example.com", clerk), time.monotonic()
    deposit = {"account_number": entries_of("others")[0], "amount": str(APPROVAL_ABOVE + next(turns))}
    try:
        return call("POST", "/deposit", deposit, clerk)["id"]
    except urllib.error.HTTPError:
        # As many wait as one person may ask for, or the fuzzer has frozen the account.
        pending = call("GET", "/approvals?status=pending&limit=1", caller=clerk)["data"]
        return pending[0]["id"] if pending else None


def hold_to_end():
    """A hold of the caller that keeps money, and a new one while there is room for it."""
    try:
        return call("POST", "/holds", {"account_number": NUMBERS[0], "amount": "1"}, resident)["id"]
    except urllib.error.HTTPError:
        held = call("GET", f"/holds?account_number={NUMBERS[0]}&status=held&limit=1", caller=resident)["data"]
        return held[0]["id"] if held else None


def group_to_reverse():
    """A movement of a group that has not been reversed; None when the fuzzer has frozen every account of the others."""
    for number in entries_of("others"):
        deposit = {"type": "deposit", "account_number": number, "amount": "1"}
        batch = {"group": secrets.token_hex(8), "transactions": [deposit, deposit]}
        first = call("POST", "/transactions/batch", batch, resident)["data"][0]
        if "transaction" in first:
            return first["transaction"]["id"]
    return None


def another_webhook():
    """A new one while there is room for it."""
    try:
        return call("POST", "/webhooks", {"url": NOWHERE}, resident)["id"]
    except urllib.error.HTTPError:
        return None


# What can be done to a thing once only, and what makes one more: without, a run could use up what there is.
MADE_TO_ORDER = {}
if not PASSES_BY:
    MADE_TO_ORDER["close_account"] = ("account_number", account_to_close)
    MADE_TO_ORDER["capture_hold"] = MADE_TO_ORDER["release_hold"] = ("id", hold_to_end)
if ROLE in ("staff", "admin"):
    MADE_TO_ORDER["reverse_group"] = ("id", group_to_reverse)
    MADE_TO_ORDER["approve"] = MADE_TO_ORDER["reject"] = ("id", approval_to_decide)


if ROLE == "admin":
    MADE_TO_ORDER["delete_webhook"] = ("id", another_webhook)
    MADE_TO_ORDER["rotate_webhook_secret"] = ("id", another_webhook)


@schemathesis.hook
def before_call(context, case, kwargs):
    operation = operation_id(case)
    if operation in ("create_webhook", "update_webhook") and is_good(case) and isinstance(case.body, dict):
        if "url" in case.body:
            case.body["url"] = NOWHERE  # nothing is sent to whoever has the address that was made up
    if operation == "delete_webhook" and case.path_parameters.get("id") == ID_OF["/webhooks/{id}"]:
        case.path_parameters["id"] = str(uuid.uuid4())  # the one that the rest of the run needs
    if operation == "end_sessions_of_user" and case.path_parameters.get("user_id") == CALLER_ID:
        case.path_parameters["user_id"] = USER  # an admin's own session must not end in the midst of the run
    if operation == "erase_user":
        case.path_parameters["user_id"] = str(uuid.uuid4())  # who was erased would be missing for the rest of the run
    if operation == "end_session_of_user" and case.path_parameters.get("user_id") == CALLER_ID:
        case.path_parameters["user_id"] = USER  # nobody ends their own sessions by this
    if operation == "reverse_transaction" and is_good(case) and case.path_parameters.get("id") in MISTAKES:
        case.path_parameters["id"] = MISTAKES[next(reversals) % len(MISTAKES)]  # each can be reversed once
    if operation in MADE_TO_ORDER and is_good(case) and not is_step(case) and next(turns) % 2:
        parameter, make = MADE_TO_ORDER[operation]
        case.path_parameters[parameter] = make() or case.path_parameters[parameter]
    if operation == "capture_hold" and is_good(case) and not is_step(case) and (is_example(case) or next(turns) % 4):
        if isinstance(case.body, dict) and isinstance(case.body.get("amount"), str):
            case.body["amount"] = "0.01"  # mostly no more than is held
    if operation in ("deposit", "withdraw", "batch") and ROLE == "customer" and is_good(case) and next(turns) % 4:
        leave_out_what_is_for_staff(case.body)
    if operation == "list_transactions" and ROLE == "customer" and is_good(case) and not is_step(case):
        case.query = {"account_number": NUMBERS[0], **(case.query or {})}  # which customers have to say
    if operation == "set_limits" and case.path_parameters.get("account_number") == NUMBERS[0]:
        case.path_parameters["account_number"] = NUMBERS[-1]  # from the first one, money is to leave for other tests
    if operation in ("login", "refresh") and is_step(case) and case.headers:
        case.headers.pop("Coffer-Client", None)  # who has the refresh token in a cookie has no link to follow
    if operation == "refresh" and is_good(case) and not is_step(case) and next(turns) % 2:
        give_refresh_token(case)
    if not PASSES_BY:
        return
    caller = who_calls()
    headers = case.headers
    if headers is None:
        return
    given = str(headers.get("Authorization", "")).removeprefix("Bearer ")
    if given in tokens_of_passers_by:
        headers["Authorization"] = f"Bearer {caller.token}"
        headers["X-Forwarded-For"] = caller.address
        if is_good(case):
            give_what_only_this_caller_has(operation, case, caller)


def leave_out_what_is_for_staff(body):
    """Which account of the bank's own is on the other side."""
    if isinstance(body, dict):
        for movement in [body, *(body.get("transactions") or [])]:
            if isinstance(movement, dict):
                movement.pop("against", None)


def give_what_only_this_caller_has(operation, case, caller):
    """A session besides the one that asks, and codes of the authenticator app, where the fuzzer can only guess."""
    if operation == "end_session" and caller.spare_session:
        case.path_parameters["id"], caller.spare_session = caller.spare_session, None
    if operation == "confirm_second_factor" and not caller.recovery_codes and isinstance(case.body, dict):
        caller.secret = caller.secret or call("POST", "/me/second_factor", {"password": PASSWORD}, caller)["secret"]
        case.body["code"] = code_of(caller.secret)
    if operation == "remove_second_factor" and isinstance(case.body, dict):
        if not caller.recovery_codes:
            take_second_factor(caller)
        case.body["code"] = caller.recovery_codes[-1]


@schemathesis.hook
def after_call(context, case, response):
    global passer_by, next_refresh_token
    operation = operation_id(case)
    if operation == "refresh" and response.status_code == 200:
        next_refresh_token = response.json().get("refresh_token")
    if operation == "reverse_transaction" and response.status_code == 202 and not is_step(case):
        # Taken back at once: one person may ask for so many only.
        call("POST", f"/approvals/{response.json()['id']}/reject", {}, resident)
    if not PASSES_BY:
        return
    with lock:
        caller = passer_by
        if caller is None:
            return
        done = response.status_code < 300
        ends = {"logout", "close_me", "change_password", "remove_second_factor", "end_session"}
        if operation in GUESSES and response.status_code == 403:
            caller.wrong_guesses += 1
        is_suspect = caller.wrong_guesses >= MAX_GUESSES
        if (done and operation in ends) or is_suspect or response.status_code == 429:
            passer_by = None  # the next request comes from somebody new
        elif done and operation == "enrol_second_factor":
            caller.secret = response.json()["secret"]
        elif done and operation == "confirm_second_factor":
            caller.recovery_codes = response.json()["recovery_codes"]


def texts_in(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for item in value for text in texts_in(item)]
    return [value] if isinstance(value, str) else []


def text_codes(case):
    """The ends of codes of texts that may be refused although they fit the pattern."""
    texts = texts_in(case.body) + texts_in(dict(case.query or {}))
    ends = set()
    if any(MAY_HIDE.search(text) for text in texts):
        ends |= {"_control_characters", "_blank"}
    if any(all(unicodedata.category(c)[0] in "MZC" for c in text) for text in texts):
        ends.add("_blank")  # nothing but marks, on nothing
    if any(len(unicodedata.normalize("NFC", text)) > len(text) for text in texts):
        ends.add("_too_long")
    return tuple(ends)


@schemathesis.check
def refused_for_what_no_schema_says(ctx, response, case):
    """422 to data that fits its schema is right only for reasons that no schema can give."""
    if response.status_code != 422 or case.meta is None or not is_good(case):
        return
    if "None" in map(str, (case.path_parameters or {}).values()):
        return  # a link from an answer in which the id is null
    problem = response.json()
    codes = {error["code"] for error in problem.get("errors", [])} or {problem["code"]}
    expected = BEYOND_ANY_SCHEMA | BEYOND_THE_SCHEMA_OF.get(operation_id(case), set())
    codes = {code for code in codes if not code.endswith(text_codes(case))}
    assert codes <= expected, f"the schema allows what is refused: {problem['detail']} {sorted(codes)}"


@schemathesis.check
def nobody_gets_what_is_for_others(ctx, response, case):
    """Which is why the warning about nothing but 403 is off there: see customer.toml and staff.toml."""
    is_for_staff = "Staff" in case.operation.definition.raw["tags"]
    if (ROLE == "customer" and is_for_staff) or (ROLE == "staff" and operation_id(case) in FOR_ADMINS):
        assert response.status_code >= 400, f"somebody who is {ROLE} got what is for others"
