"""Ranked search over the catalog: field-weighted BM25 by SQLite FTS5, exact names first."""

import difflib
import sqlite3
import weakref
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from runtime.portal.catalog import Catalog
from runtime.portal.identifier import split_words
from runtime.portal.schema import properties_of
from runtime.portal.search_intent import Intent, intent_of, intent_of_tool
from runtime.portal.synonyms import STOP_WORDS, SYNONYMS
from runtime.portal.tool import Tool

MAX_QUERY: Final = 1_000
MAX_TERMS: Final = 24
MAX_LIMIT: Final = 100

_FIELDS: Final = ("name", "upstream", "summary", "keywords", "arguments", "description")
_WEIGHTS: Final = (10.0, 4.0, 7.0, 3.0, 1.0, 0.6)
_DESCRIPTION: Final = 1_200
_PER_TERM: Final = 600
_CANDIDATES: Final = 200
_SYNONYM: Final = 0.4
_COVERED: Final = 9.0
_FOCUSED: Final = 14.0
_KIND: Final = 1.5
_REMOVAL: Final = 3.0
_MANY: Final = 1.0
_DEPRECATED: Final = 1.0
_SPELLED: Final = 4
_LONGEST: Final = 40
_SPELLINGS: Final = 500
_ALIKE: Final = 0.8
_NONE: Final[frozenset[str]] = frozenset()
_REMEMBERED: Final = 2_000
_PREPARED: Final = 150


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchPage:
    """`unmatched` are the words of the query that no tool has; `cursor` asks for what comes next."""

    tools: tuple[Tool, ...]
    total: int
    unmatched: tuple[str, ...] = ()
    cursor: str | None = None


class BadCursorError(ValueError):
    """A cursor that was not made by this index."""


class SearchIndex:
    """An index of one catalog. Not for two threads at once."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._tools = list(catalog.tools.values())
        self._by_name: dict[str, list[int]] = {}
        for row, tool in enumerate(self._tools):
            for name in {tool.full_name.lower(), tool.name.lower(), tool.original.lower()}:
                self._by_name.setdefault(name, []).append(row)
        self._upstreams = [_essence(split_words(tool.upstream)) for tool in self._tools]
        self._names = [_essence(split_words(tool.name)) for tool in self._tools]
        self._summaries = [_essence(split_words(tool.summary)) for tool in self._tools]
        self._intents = [
            intent_of_tool(split_words(tool.name), split_words(tool.summary), read_only=tool.read_only)
            for tool in self._tools
        ]
        self._known: dict[str, dict[int, float]] = {}
        self._database = _build(self._tools)
        self._freed = weakref.finalize(self, self._database.close)
        common = Counter(word for words in (*self._summaries, *self._names) for word in words).most_common()
        self._spellings: dict[str, list[str]] = {}
        for word, _ in common:
            if len(word) >= _SPELLED and len(alike := self._spellings.setdefault(word[0], [])) < _SPELLINGS:
                alike.append(word)
        # Common words cost the most to look up, and are asked for the most.
        for word, _ in common[:_PREPARED]:
            self._scores(word)

    def close(self) -> None:
        """Free the index."""
        self._freed()

    def search(self, query: str, limit: int = 10, cursor: str | None = None, *, reads: bool = False) -> SearchPage:
        """The best tools for a query, `limit` at a time; an empty query lists all. Raises BadCursorError.

        `reads`: only those known to only read.
        """
        start = self._start(cursor)
        limit = max(1, min(limit, MAX_LIMIT))
        terms = _terms(query)
        if not terms:
            rows = self._wanted(range(len(self._tools)), reads=reads)
            return self._page(rows, start, limit, ())
        unmatched = tuple(term for term in terms if not self._matches(term))
        meant = [self._respelled(term) if term in unmatched else term for term in terms]
        return self._page(self._wanted(self._ranked(query, meant), reads=reads), start, limit, unmatched)

    def _respelled(self, term: str) -> str:
        """The word of the catalog that an unknown one is most like, or itself."""
        if len(term) < _SPELLED or len(term) > _LONGEST:
            return term
        close = difflib.get_close_matches(_stem(term), self._spellings.get(term[0], ()), 1, _ALIKE)
        return close[0] if close else term

    def _wanted(self, rows: Iterable[int], *, reads: bool) -> list[int]:
        return [row for row in rows if not reads or self._tools[row].read_only]

    def _page(self, rows: list[int], start: int, limit: int, unmatched: tuple[str, ...]) -> SearchPage:
        end = start + limit
        cursor = f"{self.catalog.generation}.{end}" if end < len(rows) else None
        tools = tuple(self._tools[row] for row in rows[start:end])
        return SearchPage(tools=tools, total=len(rows), unmatched=unmatched, cursor=cursor)

    def _start(self, cursor: str | None) -> int:
        if not cursor:
            return 0
        generation, _, offset = cursor.partition(".")
        if not offset.isascii() or not offset.isdigit() or not generation.isdigit() or len(offset) > 9:  # noqa: PLR2004
            raise BadCursorError("this is not a cursor of a search")
        if int(generation) != self.catalog.generation:
            raise BadCursorError("the catalog has changed since; search again without the cursor")
        return int(offset)

    def _ranked(self, query: str, terms: list[str]) -> list[int]:
        exact = [row for word in _names_in(query) for row in self._by_name.get(word, ())]
        scores: dict[int, float] = {}
        for term in terms:
            for row, score in self._scores(term).items():
                scores[row] = scores.get(row, 0.0) + score
        likely = sorted(scores, key=lambda row: (-scores[row], row))
        wants, wanted = intent_of(_words(query)), frozenset(map(_stem, terms))
        worth = {row: scores[row] + self._bonus(row, wanted) + self._meant(row, wants) for row in likely[:_CANDIDATES]}
        head = sorted(worth, key=lambda row: (-worth[row], row))
        return list(dict.fromkeys([*exact, *head, *likely[_CANDIDATES:]]))

    def _scores(self, term: str) -> dict[int, float]:
        """BM25 of every tool for one term; a synonym counts for less and never on top of the term itself."""
        term = _stem(term)
        if (known := self._known.get(term)) is not None:
            return known
        scores = self._bm25(_one(term))
        others = SYNONYMS.get(term, frozenset())
        if others:
            for row, score in self._bm25(
                f"{{name upstream summary}}: {' OR '.join(map(_one, sorted(others)))}"
            ).items():
                scores[row] = max(scores.get(row, 0.0), _SYNONYM * score)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[term] = scores
        return scores

    def _bm25(self, match: str) -> dict[int, float]:
        return {row - 1: -score for row, score in self._database.execute(_SELECT, (match,))}

    def _bonus(self, row: int, wanted: frozenset[str]) -> float:
        """For a name or summary that has the words of the query and few others.

        "Create a pull request" is better than "Create a reaction for a pull request review comment".
        """
        upstream = self._upstreams[row]
        return max(_fit(wanted, self._names[row], upstream), _fit(wanted, self._summaries[row], upstream))

    def _meant(self, row: int, wants: Intent) -> float:
        """For a tool that does the kind of thing that is wanted, and is not on its way out."""
        does = self._intents[row]
        kind = _KIND if does.writes in {wants.writes, None} else 0.0
        kind -= _REMOVAL if {does.removes, wants.removes} == {True, False} else 0.0
        kind += _MANY if not wants.writes and does.many == wants.many else 0.0
        return kind - (_DEPRECATED if self._tools[row].deprecated else 0.0)

    def _matches(self, term: str) -> bool:
        return self._database.execute(_EXISTS, (_one(term),)).fetchone() is not None


_SELECT: Final = (
    f"SELECT rowid, bm25(tools, {', '.join(map(str, _WEIGHTS))}) AS score FROM tools WHERE tools MATCH ? "  # noqa: S608
    f"ORDER BY score LIMIT {_PER_TERM}"
)
_EXISTS: Final = "SELECT 1 FROM tools WHERE tools MATCH ? LIMIT 1"


def _build(tools: Iterable[Tool]) -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    database.execute(f"CREATE VIRTUAL TABLE tools USING fts5({', '.join(_FIELDS)}, tokenize='porter unicode61')")
    database.execute("BEGIN")
    marks = ", ".join("?" for _ in _FIELDS)
    database.executemany(f"INSERT INTO tools VALUES ({marks})", (_row(tool) for tool in tools))  # noqa: S608
    database.execute("COMMIT")
    return database


def _row(tool: Tool) -> tuple[str, ...]:
    return (
        " ".join(split_words(tool.name)),
        " ".join(split_words(tool.upstream)),
        _clean(tool.summary),
        _clean(" ".join(word for keyword in tool.keywords for word in split_words(keyword))),
        " ".join(word for name in list(properties_of(tool.input.schema))[:60] for word in split_words(name)),
        _clean(tool.description[:_DESCRIPTION]),
    )


def _terms(query: str) -> list[str]:
    words = _words(query)
    foreign = [part.lower() for part in query[:MAX_QUERY].split() if not part.isascii()]
    kept = [word for word in (*words, *foreign) if word not in STOP_WORDS]
    return list(dict.fromkeys(kept or words))[:MAX_TERMS]


def _words(query: str) -> list[str]:
    return [word for part in query[:MAX_QUERY].split() for word in split_words(part)]


def _names_in(query: str) -> list[str]:
    """Every word of a query as a name may be written, with and without `codemode.` and an argument list."""
    words = [part.split("(", 1)[0].strip(".,;:!?`'\"").lower() for part in query[:MAX_QUERY].split()]
    return [word.removeprefix("codemode.") for word in words if len(word) > 2]  # noqa: PLR2004


def _fit(wanted: frozenset[str], words: frozenset[str], upstream: frozenset[str]) -> float:
    """How well words cover what is wanted, with the upstream's name to help, and how little else they say."""
    near = words | upstream
    hits = sum(_closeness(word, near) for word in wanted)
    used = sum(word in wanted or not wanted.isdisjoint(SYNONYMS.get(word, _NONE)) for word in words)
    return _COVERED * hits / len(wanted) + _FOCUSED * used / max(1, len(words))


def _closeness(word: str, words: frozenset[str]) -> float:
    if word in words:
        return 1.0
    return 0.0 if words.isdisjoint(SYNONYMS.get(word, _NONE)) else _SYNONYM


def _essence(words: Iterable[str]) -> frozenset[str]:
    return frozenset(_stem(word) for word in words if word not in STOP_WORDS)


def _one(term: str) -> str:
    return '"' + _clean(term).replace('"', '""') + '"'


def _clean(text: str) -> str:
    return text.replace("\0", " ").encode("utf-8", "replace").decode()


def _stem(word: str) -> str:
    """A plural to its singular: enough to compare names with."""
    if len(word) > 4 and word.endswith("ies"):  # noqa: PLR2004
        return f"{word[:-3]}y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):  # noqa: PLR2004
        return word[:-1]
    return word
