"""SQL that the writer runs over and over, as text that SQLite and PostgreSQL both take.

Reads, migrations and the tables are SQLAlchemy's. These are not: run through its connection, each statement of a write
costs several times the processor time that the database takes for it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from sqlalchemy import Table

_WHETHER = " RETURNING 1"
_NAME = re.compile(r":([a-z_][a-z_0-9]*)")


@dataclass(frozen=True, slots=True)
class Statement:
    """`text` has `:name` for each parameter, each once; `question` has `?` instead; `names` are they, in order.

    One that only says whether there was such a row ends in RETURNING 1. SQLite counts rows anyway: `question` is
    without it, which is one step instead of two, and `counted`.
    """

    text: str
    question: str
    names: tuple[str, ...]
    counted: bool

    @classmethod
    def of(cls, text: str) -> Self:
        """From a text with `:name` for each parameter."""
        names = tuple(_NAME.findall(text))
        if len(set(names)) != len(names):
            raise ValueError(f"a parameter is named twice: {text}")
        question = _NAME.sub("?", text)
        return cls(text, question.removesuffix(_WHETHER), names, question.endswith(_WHETHER))


def insertion(table: Table) -> Statement:
    """A whole row; gives a row back unless it, or one that must be unique beside it, is there already."""
    names = table.c.keys()
    values = ", ".join(f":{name}" for name in names)
    return Statement.of(
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({values}) ON CONFLICT DO NOTHING RETURNING 1"  # noqa: S608 - names of our own
    )


def update(table: Table, names: Iterable[str], where: str) -> Statement:
    """Sets `names` in the row that `where` says; gives a row back if there is one. Names in `where` are others'."""
    settings = ", ".join(f"{name} = :{name}" for name in names)
    return Statement.of(f"UPDATE {table.name} SET {settings} WHERE {where} RETURNING 1")  # noqa: S608 - as above
