import os
from http import HTTPStatus
from uuid import uuid4

from bank import AuthenticatedClient, Client
from bank.api.money import deposit, withdraw
from bank.api.sign_in import login
from bank.models import LoginRequest, MovementRequest, MovementType, Problem, Tokens, Transaction, TransactionStatus

bank, password, account = os.environ["BANK"], os.environ["PASSWORD"], os.environ["ACCOUNT"]
above = f"{os.environ['APPROVAL_ABOVE']}.01"


def sign_in(email: str) -> AuthenticatedClient:
    tokens = login.sync(client=Client(bank), body=LoginRequest(email=email, password=password))
    assert isinstance(tokens, Tokens), tokens
    return AuthenticatedClient(bank, token=tokens.access_token, raise_on_unexpected_status=True)


customer = sign_in(os.environ["CUSTOMER"])
answer = deposit.sync_detailed(
    client=customer,
    body=MovementRequest(account_number=account, amount="100.50", description="Salary"),
    idempotency_key=str(uuid4()),
)
posted = answer.parsed
assert answer.status_code == HTTPStatus.CREATED, answer
assert isinstance(posted, Transaction), posted
assert posted.status == TransactionStatus.POSTED, posted
assert posted.type_ == MovementType.DEPOSIT, posted
assert posted.balance == "100.50", posted
assert posted.sequence == 1, posted
assert posted.counterparty is None, posted

problem = withdraw.sync(client=customer, body=MovementRequest(account_number=account, amount="1000"))
assert isinstance(problem, Problem), problem
assert problem.status == 409, problem
assert problem.code == "insufficient_funds", problem

answer = deposit.sync_detailed(
    client=sign_in(os.environ["STAFF"]), body=MovementRequest(account_number=account, amount=above)
)
pending = answer.parsed
assert answer.status_code == HTTPStatus.ACCEPTED, answer
assert isinstance(pending, Transaction), pending
assert pending.status == TransactionStatus.PENDING_APPROVAL, pending
assert pending.balance is None, pending
assert pending.amount == above, pending
