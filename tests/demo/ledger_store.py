"""The ledger's book: accounts and transfers in one SQLite file, amounts in minor units."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (
  id TEXT PRIMARY KEY, owner TEXT NOT NULL, currency TEXT NOT NULL, status TEXT NOT NULL,
  balance INTEGER NOT NULL CHECK (balance >= 0)
) STRICT;
CREATE TABLE IF NOT EXISTS transfers (
  number INTEGER PRIMARY KEY, source TEXT NOT NULL REFERENCES accounts, target TEXT NOT NULL REFERENCES accounts,
  amount INTEGER NOT NULL CHECK (amount > 0), currency TEXT NOT NULL, note TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS idempotency (
  key TEXT PRIMARY KEY, request TEXT NOT NULL, transfer INTEGER NOT NULL REFERENCES transfers
) STRICT;
"""
_OPENING = [
    ("acc_1", "ada", "EUR", "open", 125_000),
    ("acc_2", "grace", "EUR", "open", 40_000),
    ("acc_3", "ada", "USD", "open", 9_900),
    ("acc_4", "edsger", "EUR", "closed", 0),
]
_TRANSFER = "SELECT 'tr_' || number AS id, source, target, amount, currency, note FROM transfers"


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """A request the book turns down: `status` is the HTTP status, `code` for programs."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Book:
    """Every method is one transaction on a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._transaction() as db:
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            db.executemany("INSERT OR IGNORE INTO accounts VALUES (?, ?, ?, ?, ?)", _OPENING)

    def accounts(self, *, owner: str | None, status: str | None, limit: int, offset: int) -> dict[str, Any]:
        """One page of accounts in the order of their making, and how many there are in all."""
        where = "WHERE owner = coalesce(?, owner) AND status = coalesce(?, status)"
        with self._transaction() as db:
            total = db.execute(f"SELECT count(*) FROM accounts {where}", (owner, status)).fetchone()[0]
            rows = db.execute(
                f"SELECT * FROM accounts {where} ORDER BY rowid LIMIT ? OFFSET ?", (owner, status, limit, offset)
            )
            return {"items": [dict(row) for row in rows], "total": total}

    def account(self, account_id: str) -> dict[str, Any]:
        """One account; Refused with 404."""
        with self._transaction() as db:
            return _account(db, account_id)

    def open_account(self, owner: str, currency: str) -> dict[str, Any]:
        """A new, empty account."""
        with self._transaction() as db:
            account_id = f"acc_{db.execute('SELECT count(*) FROM accounts').fetchone()[0] + 1}"
            db.execute("INSERT INTO accounts VALUES (?, ?, ?, 'open', 0)", (account_id, owner, currency))
            return _account(db, account_id)

    def close_account(self, account_id: str) -> dict[str, Any]:
        """The account, closed; Refused with 409 while it holds money."""
        with self._transaction() as db:
            if balance := _account(db, account_id)["balance"]:
                raise Refused(409, "not_empty", f"account {account_id} still holds {balance}")
            db.execute("UPDATE accounts SET status = 'closed' WHERE id = ?", (account_id,))
            return _account(db, account_id)

    def transactions(self, account_id: str, *, direction: str | None, limit: int) -> list[dict[str, Any]]:
        """The account's transfers, newest first, amounts signed from its side."""
        with self._transaction() as db:
            _account(db, account_id)
            rows = db.execute(
                "SELECT 'tr_' || number AS transfer, iif(target = :id, 'in', 'out') AS direction,"
                " iif(target = :id, amount, -amount) AS amount, currency, iif(target = :id, source, target) AS other,"
                " note FROM transfers WHERE :id IN (source, target)"
                " AND coalesce(:direction, iif(target = :id, 'in', 'out')) = iif(target = :id, 'in', 'out')"
                " ORDER BY number DESC LIMIT :limit",
                {"id": account_id, "direction": direction, "limit": limit},
            )
            return [dict(row) for row in rows]

    def transfer(self, transfer_id: str) -> dict[str, Any]:
        """One transfer; Refused with 404."""
        with self._transaction() as db:
            row = db.execute(f"{_TRANSFER} WHERE 'tr_' || number = ?", (transfer_id,)).fetchone()
        if row is None:
            raise Refused(404, "not_found", f"there is no transfer {transfer_id}")
        return dict(row)

    def move(self, wanted: dict[str, Any], key: str | None) -> tuple[dict[str, Any], bool]:
        """The transfer and whether it is new: the same key and request again give the first one's."""
        request = json.dumps(wanted, sort_keys=True)
        with self._transaction() as db:
            if key is not None and (first := _replayed(db, key, request)) is not None:
                return first, False
            number = _book(db, wanted)
            if key is not None:
                db.execute("INSERT INTO idempotency VALUES (?, ?, ?)", (key, request, number))
            return dict(db.execute(f"{_TRANSFER} WHERE number = ?", (number,)).fetchone()), True

    def totals(self) -> list[dict[str, Any]]:
        """Per currency: accounts and money."""
        with self._transaction() as db:
            rows = db.execute(
                "SELECT currency, count(*) AS accounts, sum(balance) AS balance FROM accounts"
                " GROUP BY currency ORDER BY currency"
            )
            return [dict(row) for row in rows]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self._path, timeout=10, isolation_level=None)) as db:
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")


def _account(db: sqlite3.Connection, account_id: str) -> dict[str, Any]:
    row = db.execute("SELECT * FROM accounts WHERE id = ?", (account_id,)).fetchone()
    if row is None:
        raise Refused(404, "not_found", f"there is no account {account_id}")
    return dict(row)


def _replayed(db: sqlite3.Connection, key: str, request: str) -> dict[str, Any] | None:
    row = db.execute("SELECT request, transfer FROM idempotency WHERE key = ?", (key,)).fetchone()
    if row is None:
        return None
    if row["request"] != request:
        raise Refused(409, "key_reused", "this Idempotency-Key was used for another transfer")
    return dict(db.execute(f"{_TRANSFER} WHERE number = ?", (row["transfer"],)).fetchone())


def _book(db: sqlite3.Connection, wanted: dict[str, Any]) -> int:
    source, target = _account(db, wanted["source"]), _account(db, wanted["target"])
    amount = wanted["amount"]
    if source["id"] == target["id"]:
        raise Refused(422, "same_account", "source and target are the same account")
    if "closed" in {source["status"], target["status"]}:
        raise Refused(409, "closed", "one of the accounts is closed")
    if source["currency"] != target["currency"]:
        raise Refused(409, "currency", f"{source['currency']} cannot be moved to an account in {target['currency']}")
    if source["balance"] < amount:
        raise Refused(409, "insufficient_funds", f"account {source['id']} holds {source['balance']}, not {amount}")
    db.execute("UPDATE accounts SET balance = balance - ? WHERE id = ?", (amount, source["id"]))
    db.execute("UPDATE accounts SET balance = balance + ? WHERE id = ?", (amount, target["id"]))
    cursor = db.execute(
        "INSERT INTO transfers (source, target, amount, currency, note) VALUES (?, ?, ?, ?, ?)",
        (source["id"], target["id"], amount, source["currency"], wanted["note"]),
    )
    return int(cursor.lastrowid or 0)
