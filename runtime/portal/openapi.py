"""An OpenAPI document as tools: what is in it, and what could not be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from runtime.portal.identifier import distinct_identifiers
from runtime.portal.openapi_document import OpenApiProblem, parse_openapi, server_urls
from runtime.portal.openapi_links import with_links
from runtime.portal.openapi_operation import Operation, UnsupportedOperation, build_tool, operations
from runtime.portal.schema import ReferenceProblem
from runtime.portal.tool import SkippedTool, Tool

__all__ = ["MAX_OPERATIONS", "OpenApiProblem", "OpenApiTools", "load_openapi"]

MAX_OPERATIONS: Final = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenApiTools:
    """What a document offers: `servers` are its own base URLs, maybe relative, `schemes` its security schemes."""

    title: str
    version: str
    tools: tuple[Tool, ...]
    skipped: tuple[SkippedTool, ...]
    servers: tuple[str, ...]
    schemes: tuple[str, ...] = ()


def load_openapi(upstream: str, data: bytes, source: str, variables: Mapping[str, str] | None = None) -> OpenApiTools:
    """The tools of the document in `data`; `source` names it in errors. Raises OpenApiProblem."""
    return openapi_tools(upstream, parse_openapi(data, source), source, variables)


def openapi_tools(
    upstream: str, document: dict[str, Any], source: str, variables: Mapping[str, str] | None = None
) -> OpenApiTools:
    """The tools of a parsed document; `variables` are for its server URLs. Raises OpenApiProblem.

    An operation that cannot be supported is listed under `skipped` with its reason and stops nothing else.
    """
    variables = variables or {}
    found = list(operations(document))
    if len(found) > MAX_OPERATIONS:
        raise OpenApiProblem(f"{source} has {len(found)} operations; at most {MAX_OPERATIONS} are read")
    names = distinct_identifiers([(each.wanted_name, each.key) for each in found])
    made: list[tuple[Operation, Tool]] = []
    skipped: list[SkippedTool] = []
    for operation, name in zip(found, names, strict=True):
        try:
            made.append((operation, build_tool(upstream, name, operation, document, variables)))
        except (UnsupportedOperation, ReferenceProblem, OpenApiProblem) as reason:
            skipped.append(SkippedTool(upstream=upstream, original=operation.key, reason=str(reason)))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            skipped.append(SkippedTool(upstream=upstream, original=operation.key, reason=f"malformed: {error!r}"[:300]))
    return OpenApiTools(
        title=_info(document, "title"),
        version=_info(document, "version"),
        tools=tuple(with_links(made, document)),
        skipped=tuple(skipped),
        servers=tuple(server_urls(document, variables)),
        schemes=_schemes(document),
    )


def _info(document: Mapping[str, Any], key: str) -> str:
    info = document.get("info")
    value = info.get(key) if isinstance(info, Mapping) else None
    return value if isinstance(value, str) else ""


def _schemes(document: Mapping[str, Any]) -> tuple[str, ...]:
    components = document.get("components")
    declared = components.get("securitySchemes") if isinstance(components, Mapping) else None
    return tuple(str(name) for name in declared) if isinstance(declared, Mapping) else ()
