"""GraphQL over HTTP: which kind of operation a request runs, and what a rule says of that."""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import Field

from .model import FrozenModel
from .query_string import parse_query
from .strict_json import parse_strict

Kind = Literal["query", "mutation", "subscription"]
_KINDS: tuple[Kind, ...] = get_args(Kind)
MAX_TOKENS = 10_000
MAX_DEPTH = 50
MAX_DOCUMENT = 100_000  # characters
MAX_COMMENTS = 2_000
MAX_BATCH = 100
_MEMBERS = {"query", "operationName", "variables", "extensions", "documentId"}
# Names under which servers look for a document, or for the name of one they hold.
_ELSEWHERE = {name.casefold() for name in _MEMBERS} | {"id", "doc_id", "queryid", "hash", "operation", "operationid"}


@dataclass(frozen=True, slots=True)
class Operation:
    """What one request runs: the kind of its operation, or the name of a persisted document nobody here has read."""

    kind: Kind | None
    persisted: str | None = None


class GraphqlRule(FrozenModel):
    """Every operation of the request must be of one of these kinds, or a persisted document that is named here."""

    operations: tuple[Kind, ...] = Field((), description="query, mutation, subscription.")
    persisted: tuple[str, ...] = Field(
        (), max_length=10_000, description="SHA-256 (hex) or document ids that may run without their text."
    )

    def fault(self, operation: Operation) -> str | None:
        """Why one operation is not allowed, or None."""
        if operation.kind is None:
            known = operation.persisted in self.persisted
            return None if known else "names a persisted document that the rule does not name; send its text"
        return None if operation.kind in self.operations else f"is a {operation.kind}, which the rule does not allow"


def operations_of_body(body: bytes) -> tuple[Operation, ...]:
    """The operations of a JSON body; a batch has several. Raises ValueError saying what has no reading, or two."""
    value = parse_strict(body)
    elements = value if isinstance(value, list) else [value]
    if not 1 <= len(elements) <= MAX_BATCH:
        raise ValueError(f"a GraphQL batch has 1 to {MAX_BATCH} elements")
    return tuple(_of_members(element) for element in elements)


def operations_of_query(query: str | None) -> tuple[Operation, ...]:
    """The operation of a GET. Raises ValueError as above."""
    parameters = parse_query(query)
    members: dict[str, Any] = dict(parameters)
    if len(members) != len(parameters):
        raise ValueError("the query has a parameter twice")
    for name in ("variables", "extensions"):
        if members.get(name):
            members[name] = parse_strict(members[name].encode())
    return (_of_members(members),)


def check_query_beside_body(query: str | None) -> None:
    """Some servers take parameters before the body's members. Raises ValueError if one would be."""
    if any(name.strip().casefold() in _ELSEWHERE for name, _ in parse_query(query)):
        raise ValueError("a GraphQL request with a body has GraphQL parameters in its query too")


def _of_members(members: Any) -> Operation:
    if not isinstance(members, dict) or members.keys() - _MEMBERS:
        raise ValueError("the request has members that GraphQL over HTTP does not know")
    document, name, persisted = members.get("query"), members.get("operationName"), _persisted(members)
    if name is not None and (not isinstance(name, str) or not name):
        raise ValueError("operationName is not a name")
    if document is None and persisted is not None:
        return Operation(None, persisted)
    if not isinstance(document, str):
        raise ValueError("the request has no GraphQL document")  # noqa: TRY004 - what a client sent
    if persisted is not None and persisted != hashlib.sha256(document.encode("utf-8", "replace")).hexdigest():
        raise ValueError("the request's document is not the persisted one that it names")
    return Operation(operation_kind(document, name))


def _persisted(members: dict[str, Any]) -> str | None:
    """The name of a document that the server is to have: `documentId`, or Apollo's `extensions.persistedQuery`."""
    extensions = members.get("extensions")
    extensions = {} if extensions is None else extensions
    if not isinstance(extensions, dict):
        raise ValueError("extensions is not an object")  # noqa: TRY004 - what a client sent
    apollo = extensions.get("persistedQuery")
    said = [members.get("documentId"), apollo.get("sha256Hash", "") if isinstance(apollo, dict) else apollo]
    names = [name for name in said if name is not None]
    if len(names) > 1 or not all(isinstance(name, str) for name in names):
        raise ValueError("the request names persisted documents in two ways")
    return names[0] if names else None


def operation_kind(document: str, name: str | None) -> Kind:
    """The kind of the operation that runs. Raises ValueError if there is not exactly one of that name."""
    operations = _parsed(document)
    chosen = [kind for operation, kind in operations if name is None or operation == name]
    if len(chosen) != 1:
        raise ValueError(f"the GraphQL document has {len(chosen)} operations to run; operationName must choose one")
    return chosen[0]


def _parsed(document: str) -> list[tuple[str | None, Kind]]:
    """Name and kind of every operation."""
    from graphql.error import GraphQLError  # noqa: PLC0415 - a third of a second that only GraphQL rules need
    from graphql.language import FragmentDefinitionNode, OperationDefinitionNode, parse  # noqa: PLC0415 - as above

    _check_depth(document)
    try:
        parsed = parse(document, no_location=True, max_tokens=MAX_TOKENS)
    except GraphQLError:
        raise ValueError("the GraphQL document does not parse") from None
    operations: list[tuple[str | None, Kind]] = []
    for definition in parsed.definitions:
        if isinstance(definition, OperationDefinitionNode):
            kind = next(kind for kind in _KINDS if kind == definition.operation.value)
            operations.append((definition.name.value if definition.name else None, kind))
        elif not isinstance(definition, FragmentDefinitionNode):
            raise ValueError("the GraphQL document defines types, which a request does not")  # noqa: TRY004 - what a client sent
    return operations


def _check_depth(document: str) -> None:
    """Count brackets before a recursive parser meets them, and bound what a lexer in Python has to walk."""
    from graphql.error import GraphQLError  # noqa: PLC0415 - as above
    from graphql.language import Lexer, Source, TokenKind  # noqa: PLC0415 - as above

    if len(document) > MAX_DOCUMENT or document.count("#") > MAX_COMMENTS:
        raise ValueError(f"the GraphQL document has more than {MAX_DOCUMENT} characters or {MAX_COMMENTS} comments")
    opening = {TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L}
    closing = {TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R}
    lexer = Lexer(Source(document))
    depth = tokens = 0
    try:
        while (kind := lexer.advance().kind) is not TokenKind.EOF:
            tokens += 1
            depth += (kind in opening) - (kind in closing)
            if depth > MAX_DEPTH or tokens > MAX_TOKENS:
                raise ValueError(
                    f"the GraphQL document is larger than {MAX_TOKENS} tokens or deeper than {MAX_DEPTH} levels"
                )
    except GraphQLError:
        raise ValueError("the GraphQL document does not parse") from None
