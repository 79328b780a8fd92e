"""The ledger does what its document says."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.demo.conftest import Call, request

MOVE = {"source": "acc_1", "target": "acc_2", "amount": 250}


def code(answer: tuple[int, Any]) -> tuple[int, str]:
    status, body = answer
    return status, body["error"]["code"]


def balance(call: Call, account: str) -> int:
    return int(call("GET", f"/accounts/{account}")[1]["balance"])


def test_the_document_needs_no_token_and_names_its_own_server(ledger_url: str) -> None:
    status, document = request("GET", f"{ledger_url}/openapi.json")
    operations = [
        op["operationId"] for path in document["paths"].values() for op in path.values() if "operationId" in op
    ]
    assert status == 200
    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": ledger_url}]
    assert len(operations) == 8
    assert {"listAccounts", "createTransfer"} <= set(operations)


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "Basic demo-token", "Bearer  demo-token", "Bearer \xe9"])
def test_everything_else_wants_the_token(ledger_url: str, authorization: str) -> None:
    assert code(request("GET", f"{ledger_url}/accounts", authorization=authorization)) == (401, "unauthenticated")


def test_every_operation_of_the_document_is_served(ledger_url: str, call: Call) -> None:
    paths = request("GET", f"{ledger_url}/openapi.json")[1]["paths"]
    for path, item in paths.items():
        for method in item.keys() - {"parameters"}:
            status, _ = call(method.upper(), path.replace("{account_id}", "acc_2").replace("{transfer_id}", "tr_0"))
            assert status in {200, 404, 409, 422}, path
            assert str(status) in item[method]["responses"], (method, path, status)


def test_accounts_are_filtered_and_paged(call: Call) -> None:
    status, page = call("GET", "/accounts?owner=ada&limit=1&offset=1")
    assert (status, page["total"], [account["id"] for account in page["items"]]) == (200, 2, ["acc_3"])
    assert [account["id"] for account in call("GET", "/accounts?status=closed")[1]["items"]] == ["acc_4"]


@pytest.mark.parametrize("query", ["status=gone", "limit=0", "limit=101", "offset=-1", "colour=red"])
def test_a_wrong_parameter_is_named(call: Call, query: str) -> None:
    status, body = call("GET", f"/accounts?{query}")
    assert status == 422
    assert body["error"]["message"].startswith(query.split("=", maxsplit=1)[0])


def test_a_transfer_moves_money_and_is_listed_on_both_sides(call: Call) -> None:
    before = balance(call, "acc_1"), balance(call, "acc_2")
    status, transfer = call("POST", "/transfers", {**MOVE, "note": "rent"})
    assert status == 201
    assert (balance(call, "acc_1"), balance(call, "acc_2")) == (before[0] - 250, before[1] + 250)
    assert call("GET", f"/transfers/{transfer['id']}") == (200, transfer)
    out = call("GET", "/accounts/acc_1/transactions?direction=out&limit=1")[1][0]
    into = call("GET", "/accounts/acc_2/transactions?direction=in&limit=1")[1][0]
    assert (out["transfer"], out["amount"], out["other"]) == (transfer["id"], -250, "acc_2")
    assert (into["transfer"], into["amount"], into["note"]) == (transfer["id"], 250, "rent")


def test_the_same_key_books_the_same_transfer_once(call: Call) -> None:
    before = balance(call, "acc_1")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: call("POST", "/transfers", MOVE, idempotency_key="once"), range(8)))
    assert sorted(status for status, _ in answers) == [200] * 7 + [201]
    assert len({body["id"] for _, body in answers}) == 1
    assert balance(call, "acc_1") == before - 250
    other = call("POST", "/transfers", {**MOVE, "amount": 1}, idempotency_key="once")
    assert code(other) == (409, "key_reused")


REFUSED = [
    ("too much", {**MOVE, "amount": 10**9}, 409, "insufficient_funds"),
    ("other currency", {**MOVE, "target": "acc_3"}, 409, "currency"),
    ("closed", {**MOVE, "target": "acc_4"}, 409, "closed"),
    ("to itself", {**MOVE, "target": "acc_1"}, 422, "same_account"),
    ("unknown account", {**MOVE, "target": "acc_99"}, 404, "not_found"),
    ("nothing", {**MOVE, "amount": 0}, 422, "invalid"),
    ("text amount", {**MOVE, "amount": "5"}, 422, "invalid"),
    ("unknown field", {**MOVE, "fee": 1}, 422, "invalid"),
    ("no JSON", b"{", 422, "invalid"),
    ("too large", b" " * 70_000, 413, "too_large"),
]


@pytest.mark.parametrize(("body", "status", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_refused_transfer_says_why_and_moves_nothing(call: Call, body: Any, status: int, reason: str) -> None:
    before = balance(call, "acc_1")
    assert code(call("POST", "/transfers", body)) == (status, reason)
    assert balance(call, "acc_1") == before


def test_an_account_is_opened_and_closed(call: Call) -> None:
    status, account = call("POST", "/accounts", {"owner": "barbara", "currency": "USD"})
    assert (status, account["balance"], account["status"]) == (201, 0, "open")
    assert call("POST", f"/accounts/{account['id']}/close")[1]["status"] == "closed"
    assert code(call("POST", "/accounts/acc_1/close")) == (409, "not_empty")


def test_no_transfer_changes_a_total(call: Call) -> None:
    before = call("GET", "/totals")[1]
    call("POST", "/transfers", MOVE)
    assert call("GET", "/totals")[1] == before


def test_unknown_paths_and_methods_answer_in_the_same_form(call: Call) -> None:
    assert code(call("GET", "/nowhere")) == (404, "http")
    assert code(call("DELETE", "/totals")) == (405, "http")
