"""A program's source to code: top-level await and return, and the value of its last expression.

Without a top-level `return` the program is a module like any other. With one it becomes a function whose names are
all declared global, so that functions, classes and closures still behave as at module level.
"""

import ast
import dataclasses
from types import CodeType

FILE = "<program>"
"""What tracebacks call the program that runs."""
# What CPython says, as a MemoryError, of source that is nested too deeply.
PARSER_STACK = "Parser stack overflowed"
# No program can write these names, so none can meet them.
RESULT = " result"
FUNCTION = "<module>"
IMPORT_STAR = " import *"
_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """Code to execute in the program's globals.

    `returns`: the code defines the function FUNCTION, which is to be called; otherwise the result, if any, is left in
    the global RESULT. `main`: None, or how many arguments (0 or 1) the program's uncalled `main` is to be given.
    """

    code: CodeType
    returns: bool
    main: int | None


def session_file(number: int) -> str:
    """What the code of a session's program calls its file."""
    return f"<program {number}>"


def compile_program(source: str, file: str = FILE) -> Program:
    """Compile a program; SyntaxError, with positions in `source`, if it is none."""
    tree = _parse(source, file)
    scan = _scan(tree)
    if scan.returns:
        return Program(code=_as_function(tree, scan, file), returns=True, main=None)
    main = _uncalled_main(tree)
    _keep_last_value(tree)
    return Program(code=_compile(tree, file), returns=False, main=main)


def _parse(source: str, file: str) -> ast.Module:
    at = source.find("\0")
    if at >= 0:
        line, column = source.count("\n", 0, at) + 1, at - source.rfind("\n", 0, at)
        raise SyntaxError("the program contains a NUL character", (file, line, column, None))
    try:
        return ast.parse(source, file)
    except UnicodeEncodeError:
        raise SyntaxError("the program contains half a surrogate pair", (file, 1, 1, None)) from None
    except MemoryError as error:
        if PARSER_STACK not in str(error):
            raise
        raise SyntaxError("the program is nested too deeply for the parser", (file, 1, 1, None)) from None


def _compile(tree: ast.Module, file: str) -> CodeType:
    return compile(tree, file, "exec", flags=_FLAGS, dont_inherit=True)


@dataclasses.dataclass(frozen=True)
class _Scan:
    returns: bool
    awaits: bool


def _scan(tree: ast.Module) -> _Scan:
    """Look at the top level's own statements, not into functions and classes."""
    returns = awaits = False
    left: list[ast.AST] = list(tree.body)
    while left:
        node = left.pop()
        kind = type(node)
        if kind is ast.Return:
            returns = True
        elif kind in (ast.Await, ast.AsyncFor, ast.AsyncWith) or (kind is ast.comprehension and node.is_async):
            awaits = True
        if kind not in _SCOPES:
            left.extend(ast.iter_child_nodes(node))
    return _Scan(returns, awaits)


def _last_value(body: list[ast.stmt]) -> tuple[list[ast.stmt], ast.expr] | None:
    """The body that ends in the program's last expression, also inside `if __name__ == "__main__":`."""
    last = body[-1] if body else None
    if isinstance(last, ast.Expr):
        return body, last.value
    if isinstance(last, ast.If) and not last.orelse and _asks_for_main(last.test):
        return _last_value(last.body)
    return None


def _asks_for_main(test: ast.expr) -> bool:
    if not isinstance(test, ast.Compare) or len(test.comparators) != 1:
        return False
    sides = (test.left, test.comparators[0])
    return any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides) and any(
        isinstance(side, ast.Constant) and side.value == "__main__" for side in sides
    )


def _keep_last_value(tree: ast.Module) -> None:
    found = _last_value(tree.body)
    if found is None:
        return
    body, value = found
    kept = ast.Assign(targets=[ast.copy_location(ast.Name(RESULT, ast.Store()), value)], value=value)
    body[-1] = ast.copy_location(kept, value)


def _uncalled_main(tree: ast.Module) -> int | None:
    """Arguments for a `main` the program defines but neither calls nor mentions; None if that is not so."""
    main = next((node for node in reversed(tree.body) if getattr(node, "name", None) == "main"), None)
    if not isinstance(main, (ast.FunctionDef, ast.AsyncFunctionDef)) or _last_value(tree.body):
        return None
    others = [node for statement in tree.body if statement is not main for node in ast.walk(statement)]
    if any(isinstance(node, ast.Name) and node.id == "main" for node in others):
        return None
    return 1 if main.args.posonlyargs or main.args.args else 0


def _as_function(tree: ast.Module, scan: _Scan, file: str) -> CodeType:
    future = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    body = [node for node in tree.body if node not in future]
    found = _last_value(body)
    if found is not None:
        found[0][-1] = ast.copy_location(ast.Return(found[1]), found[0][-1])
    body = [_TopLevel(file).visit(node) for node in body]
    names = _assigned(_function(future, body, awaits=scan.awaits))
    if names:
        body = [ast.Global(names, lineno=1, col_offset=0), *body]
    return _compile(_function(future, body, awaits=scan.awaits), file)


def _function(future: list[ast.ImportFrom], body: list[ast.stmt], *, awaits: bool) -> ast.Module:
    kind = ast.AsyncFunctionDef if awaits else ast.FunctionDef
    nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    function = kind(FUNCTION, nothing, body, [], lineno=1, col_offset=0, end_lineno=1, end_col_offset=0)
    return ast.fix_missing_locations(ast.Module([*future, function], []))


def _assigned(tree: ast.Module) -> list[str]:
    """Every name the function would keep to itself, as the compiler itself sees it."""
    code = next(
        const for const in _compile(tree, FILE).co_consts if isinstance(const, CodeType) and const.co_name == FUNCTION
    )
    return sorted({name for name in (*code.co_varnames, *code.co_cellvars) if name.isidentifier()})


class _TopLevel(ast.NodeTransformer):
    """Rewrites what a module may do and a function may not; does not look into inner scopes."""

    def __init__(self, file: str) -> None:
        self._file = file

    def _leave(self, node: ast.AST) -> ast.AST:
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = _leave  # noqa: N815

    def visit_Global(self, node: ast.Global) -> ast.AST:
        return ast.copy_location(ast.Pass(), node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if not isinstance(node.target, ast.Name):
            return node
        value = ast.Pass() if node.value is None else ast.Assign(targets=[node.target], value=node.value)
        return ast.copy_location(value, node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if node.names[0].name != "*":
            return node
        if node.level or node.module is None:
            raise SyntaxError(
                "relative imports have no meaning here", (self._file, node.lineno, node.col_offset + 1, None)
            )
        call = ast.Call(ast.Name(IMPORT_STAR, ast.Load()), [ast.Constant(node.module)], [])
        return ast.copy_location(ast.Expr(call), node)

    def _refuse_yield(self, node: ast.AST) -> ast.AST:
        raise SyntaxError("'yield' outside function", (self._file, node.lineno, node.col_offset + 1, None))

    visit_Yield = visit_YieldFrom = _refuse_yield  # noqa: N815
