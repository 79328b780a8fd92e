"""One core module out of a component: its modules merged, every call between them direct.

A component linked by componentize-py is a dozen modules whose tables are filled, one function at a time, each time it
is instantiated. Merged, the same table is part of the compiled image, and an instance costs a tenth.
"""

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .component_wiring import Bag, FromHost, FromInstance, Instance, Source, Wiring, read_wiring
from .npm import MANIFESTS, Report, fetched, node
from .wasm_module import (
    EXPORT,
    IMPORT,
    MEMORY_EXPORT,
    NotSupportedError,
    Section,
    keep_exports,
    read_exports,
    read_sections,
    read_unsigned,
    unsigned,
    write_sections,
)

# The table that a component's trampolines are called through, filled by a module whose imports are called "".
_TRAMPOLINES = "$imports"
_ROOT = "$root"
_PINNED = Path(__file__).parent / "binaryen"
# What CPython's build uses, and, for constants that refer to other constants until they are resolved, GC.
_FEATURES = tuple(
    f"--enable-{feature}"
    for feature in (
        *("simd", "bulk-memory", "reference-types", "sign-ext", "nontrapping-float-to-int", "mutable-globals"),
        *("multivalue", "extended-const", "gc"),
    )
)
# A table is part of a compiled image only if its offsets are plain numbers.
_PASSES = ("--propagate-globals-globally", "--simplify-globals", "--remove-unused-module-elements")


def inputs() -> bytes:
    """What decides the merged module beside the component: the pinned tools and this package's code."""
    own = (Path(__file__).with_name(name) for name in ("flat_module.py", "component_wiring.py", "wasm_module.py"))
    return b"\0".join(path.read_bytes() for path in (*own, *(_PINNED / name for name in MANIFESTS)))


@dataclass(frozen=True)
class Import:
    """One import of a core module; `kind` is the description as it stands in the file."""

    module: str
    name: str
    kind: bytes


def flatten(component: bytes, work: Path, report: Report) -> bytes:
    """The component as one module.

    Imports: what the component imports, by interface (the world itself is "$root") and name, in the canonical ABI's
    flat form. Exports: `memory`, `realloc`, and each exported function NAME with `post:NAME`.
    Raises NotSupportedError, or RuntimeError with the tool's own words. Takes some 15 s.
    """
    links = _Links(read_wiring(component))
    tools = fetched("binaryen", _PINNED, report) / "bin"
    merged, optimised = work / "merged.wasm", work / "flat.wasm"
    inputs: list[str] = []
    for index, instance in links.instances():
        path = work / f"instance-{index}.wasm"
        path.write_bytes(links.renamed(index, instance))
        inputs += [str(path), _called(index)]
    _run(node(report), str(tools / "wasm-merge"), *inputs, "-o", str(merged), *_FEATURES)
    merged.write_bytes(_with_exports(merged.read_bytes(), links.exports()))
    _run(node(report), str(tools / "wasm-opt"), str(merged), "-o", str(optimised), *_FEATURES, *_PASSES)
    return optimised.read_bytes()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a pinned tool
    if done.returncode != 0:
        raise RuntimeError(f"{Path(command[1]).name} failed:\n{done.stderr[-4000:]}")


def _with_exports(module: bytes, names: Mapping[str, str]) -> bytes:
    """The module with these exports only, and its memory."""
    sections = []
    for section in read_sections(module):
        body = section.body
        if section.id == EXPORT:
            memory = {name: "memory" for name, kind, _ in read_exports(body) if kind == MEMORY_EXPORT}
            body = keep_exports(body, {**names, **memory})
        sections.append(Section(id=section.id, body=body))
    return write_sections(sections)


def _called(instance: int) -> str:
    return f"instance {instance}"


def _exported(instance: int, name: str) -> str:
    """A name that no other module exports."""
    return f"{instance}:{name}"


class _Links:
    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._shim, self._behind_shim, self._filler = self._trampolines()

    def _trampolines(self) -> tuple[int, dict[str, Source], int]:
        for index, core in enumerate(self._wiring.cores):
            if isinstance(core, Instance) and "" in core.arguments:
                bag = self._wiring.cores[core.arguments[""]]
                table = bag.exports.get(_TRAMPOLINES) if isinstance(bag, Bag) else None
                if isinstance(bag, Bag) and isinstance(table, FromInstance):
                    return table.instance, bag.exports, index
        raise NotSupportedError("the component has no module that fills its trampolines")

    def instances(self) -> Iterator[tuple[int, Instance]]:
        """Every instance that is to be merged; calls through the trampolines become direct."""
        for index, core in enumerate(self._wiring.cores):
            if isinstance(core, Instance) and index not in {self._shim, self._filler}:
                yield index, core

    def source(self, source: Source) -> Source:
        """Where something really comes from."""
        while isinstance(source, FromInstance):
            core = self._wiring.cores[source.instance]
            if isinstance(core, Bag):
                source = core.exports[source.name]
            elif source.instance == self._shim:
                source = self._behind_shim[source.name]
            else:
                break
        return source

    def exports(self) -> dict[str, str]:
        """What the one module exports: the name among the merged to the name it shall have."""
        found: dict[str, str] = {}
        for name, lifted in self._wiring.exports.items():
            function = self.source(lifted.function)
            if isinstance(function, FromHost):
                raise NotSupportedError("an export that is the host's own function")
            found[_exported(function.instance, function.name)] = name
            found[_exported(function.instance, "cabi_realloc")] = "realloc"
            if lifted.post_return is not None and isinstance(after := self.source(lifted.post_return), FromInstance):
                found[_exported(after.instance, after.name)] = f"post:{name}"
        return found

    def renamed(self, index: int, instance: Instance) -> bytes:
        """The instance's module, its imports named after where they come from."""
        sections = []
        for section in read_sections(self._wiring.modules[instance.module]):
            match section.id:
                case 2:
                    sections.append(Section(id=IMPORT, body=self._rename(section.body, instance)))
                case 7:
                    names = {name: _exported(index, name) for name, _, _ in read_exports(section.body)}
                    sections.append(Section(id=EXPORT, body=keep_exports(section.body, names)))
                case _:
                    sections.append(section)
        return write_sections(sections)

    def _rename(self, body: bytes, instance: Instance) -> bytes:
        imports = list(read_imports(body))
        out = bytearray(unsigned(len(imports)))
        for each in imports:
            given = instance.arguments[each.module]
            core = self._wiring.cores[given]
            source = self.source(core.exports[each.name] if isinstance(core, Bag) else FromInstance(given, each.name))
            if isinstance(source, FromHost):
                module, name = source.interface or _ROOT, source.name
            else:
                module, name = _called(source.instance), _exported(source.instance, source.name)
            out += _text(module) + _text(name) + each.kind
        return bytes(out)


def _text(text: str) -> bytes:
    data = text.encode()
    return unsigned(len(data)) + data


def read_imports(body: bytes) -> Iterator[Import]:
    """The entries of an import section."""
    count, at = read_unsigned(body, 0)
    for _ in range(count):
        module, at = _read_text(body, at)
        name, at = _read_text(body, at)
        end = _kind_end(body, at)
        yield Import(module, name, body[at:end])
        at = end


def _read_text(body: bytes, at: int) -> tuple[str, int]:
    size, at = read_unsigned(body, at)
    return body[at : at + size].decode(), at + size


def _kind_end(body: bytes, at: int) -> int:
    kind = body[at]
    match kind:
        case 0:  # a function's type
            return read_unsigned(body, at + 1)[1]
        case 1 | 2:  # a table's element type and limits; a memory's limits
            at += 1 if kind == 1 else 0
            flags, at = read_unsigned(body, at + 1)
            _, at = read_unsigned(body, at)
            return read_unsigned(body, at)[1] if flags & 1 else at
        case 3:  # a global's type and mutability
            return at + 3
    raise NotSupportedError(f"an import of kind {kind}")
