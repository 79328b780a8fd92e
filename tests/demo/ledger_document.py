"""The ledger's OpenAPI 3.1 document, made from the models its handlers validate with."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

Currency = Literal["EUR", "USD"]
Status = Literal["open", "closed"]
Direction = Literal["in", "out"]
AccountId = Field(description="Identifier of an account, like acc_1.", max_length=40)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Account(_Model):
    """An account and what it holds."""

    id: str = AccountId
    owner: str
    currency: Currency
    status: Status
    balance: int = Field(description="Minor units: cents.")


class AccountPage(_Model):
    """One page of accounts."""

    items: list[Account]
    total: int = Field(description="How many there are on all pages.")


class NewAccount(_Model):
    """What it takes to open an account."""

    owner: str = Field(min_length=1, max_length=80)
    currency: Currency = "EUR"


class Transaction(_Model):
    """A transfer seen from one account."""

    transfer: str
    direction: Direction
    amount: int = Field(description="Minor units; negative going out.")
    currency: Currency
    other: str = Field(description="The account on the other side.")
    note: str


class NewTransfer(_Model):
    """Money to move from one account to another of the same currency."""

    source: str = AccountId
    target: str = AccountId
    amount: int = Field(gt=0, le=10**12, description="Minor units: cents.")
    note: str = Field("", max_length=140)


class Transfer(_Model):
    """A transfer that was booked."""

    id: str
    source: str
    target: str
    amount: int
    currency: Currency
    note: str


class Total(_Model):
    """All accounts of one currency."""

    currency: Currency
    accounts: int
    balance: int


class ErrorDetail(_Model):
    """What went wrong: a code for programs, a sentence for people."""

    code: str
    message: str


class Error(_Model):
    """The body of every error."""

    error: ErrorDetail


_MODELS: list[type[BaseModel]] = [
    Account,
    AccountPage,
    NewAccount,
    Transaction,
    NewTransfer,
    Transfer,
    Total,
    ErrorDetail,
    Error,
]
_ERRORS = {
    "401": "No bearer token, or a wrong one.",
    "404": "There is nothing with this identifier.",
    "409": "The state of the book does not allow it.",
    "422": "A parameter or the body is not valid.",
}


def document(url: str) -> dict[str, Any]:
    """The OpenAPI document of a ledger that is reached at `url`."""
    _, definitions = models_json_schema(
        [(model, "validation") for model in _MODELS], ref_template="#/components/schemas/{model}"
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ledger", "version": "1.0.0", "summary": "Accounts and transfers of a small bank."},
        "servers": [{"url": url}],
        "security": [{"token": []}],
        "tags": [{"name": "accounts"}, {"name": "transfers"}],
        "paths": _paths(),
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {f"Error{status}": _answer(text, _ref("Error")) for status, text in _ERRORS.items()},
            "parameters": {"AccountId": _parameter("account_id", "path", {"type": "string"}, "Like acc_1.")},
        },
    }


def _paths() -> dict[str, Any]:
    of_account = {"parameters": [{"$ref": "#/components/parameters/AccountId"}]}
    return {
        "/accounts": {"get": _list_accounts(), "post": _create_account()},
        "/accounts/{account_id}": {**of_account, "get": _get_account()},
        "/accounts/{account_id}/close": {**of_account, "post": _close_account()},
        "/accounts/{account_id}/transactions": {**of_account, "get": _list_transactions()},
        "/transfers": {"post": _create_transfer()},
        "/transfers/{transfer_id}": {"get": _get_transfer()},
        "/totals": {"get": _get_totals()},
    }


def _list_accounts() -> dict[str, Any]:
    parameters = [
        _parameter("owner", "query", {"type": "string"}, "Only accounts of this owner."),
        _parameter("status", "query", {"enum": ["open", "closed"]}, "Only accounts in this state."),
        _limit(),
        _parameter("offset", "query", {"type": "integer", "minimum": 0, "default": 0}),
    ]
    answers = _answers("200", "AccountPage", "422")
    return _operation("listAccounts", "List accounts, oldest first", "accounts", answers, parameters=parameters)


def _create_account() -> dict[str, Any]:
    answers = _answers("201", "Account", "422")
    return _operation("createAccount", "Open an account", "accounts", answers, body="NewAccount")


def _get_account() -> dict[str, Any]:
    answers = _answers("200", "Account", "404")
    transactions = {"operationId": "listTransactions", "parameters": {"account_id": "$response.body#/id"}}
    answers["200"]["links"] = {"transactions": transactions}
    return _operation("getAccount", "Get one account", "accounts", answers)


def _close_account() -> dict[str, Any]:
    answers = _answers("200", "Account", "404", "409")
    return _operation("closeAccount", "Close an empty account", "accounts", answers)


def _list_transactions() -> dict[str, Any]:
    summary = "List an account's transactions, newest first"
    answers = _answers("200", "Transaction", "404", "422", many=True)
    direction = _parameter("direction", "query", {"enum": ["in", "out"]}, "Money coming in or going out.")
    return _operation("listTransactions", summary, "accounts", answers, parameters=[direction, _limit()])


def _create_transfer() -> dict[str, Any]:
    answers = _answers("201", "Transfer", "404", "409", "422")
    answers["200"] = _answer("Booked before.", _ref("Transfer"))
    form = {"type": "string", "minLength": 1, "maxLength": 80}
    key = _parameter("Idempotency-Key", "header", form, "The same key books the same transfer once.")
    summary = "Move money between two accounts"
    return _operation("createTransfer", summary, "transfers", answers, body="NewTransfer", parameters=[key])


def _get_transfer() -> dict[str, Any]:
    transfer_id = _parameter("transfer_id", "path", {"type": "string"}, "Like tr_1.")
    answers = _answers("200", "Transfer", "404")
    return _operation("getTransfer", "Get one transfer", "transfers", answers, parameters=[transfer_id])


def _get_totals() -> dict[str, Any]:
    answers = _answers("200", "Total", many=True)
    return _operation("getTotals", "Sum the balances by currency", "accounts", answers)


def _operation(
    name: str,
    summary: str,
    tag: str,
    responses: dict[str, Any],
    *,
    body: str | None = None,
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": name, "summary": summary, "tags": [tag], "responses": responses}
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(body)}}}
    return operation


def _parameter(name: str, place: str, schema: dict[str, Any], description: str = "") -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": schema} | (
        {"description": description} if description else {}
    )


def _limit() -> dict[str, Any]:
    return _parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20})


def _answers(status: str, model: str, *errors: str, many: bool = False) -> dict[str, Any]:
    schema = {"type": "array", "items": _ref(model)} if many else _ref(model)
    refused = {error: {"$ref": f"#/components/responses/Error{error}"} for error in ("401", *errors)}
    return {status: _answer("As asked.", schema)} | refused


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _ref(model: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{model}"}
