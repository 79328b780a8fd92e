"""How a component is wired inside: which core modules it holds, and where each instance's imports come from.

Reads the binary format of the Component Model (sections 0 to 11 of a component) as far as a guest linked by
componentize-py uses it, and refuses the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from .wasm_module import NotSupportedError, read_unsigned

CORE_FUNCTION, CORE_TABLE, CORE_MEMORY, CORE_GLOBAL = 0, 1, 2, 3
_CORE_INSTANCE = 0x12
_FUNCTION, _INSTANCE = 1, 5
_LIFT, _LOWER = 0, 1
_OPTIONS_WITH_INDEX = frozenset((3, 4, 5, 7))  # memory, realloc, post-return, callback
_POST_RETURN = 5
_RESOURCE_OPERATIONS = frozenset((2, 3, 4))
_HEADER = 8


@dataclass(frozen=True)
class FromHost:
    """A function the host has to bring: of an imported interface, or, without one, of the world itself."""

    interface: str
    name: str


@dataclass(frozen=True)
class FromInstance:
    """What a core instance exports."""

    instance: int
    name: str


type Source = FromHost | FromInstance


@dataclass(frozen=True)
class Instance:
    """A module made into an instance; `arguments` gives each import module name its exports by name."""

    module: int
    arguments: dict[str, int]


@dataclass(frozen=True)
class Bag:
    """An instance put together from others' exports."""

    exports: dict[str, Source]


@dataclass(frozen=True)
class Lifted:
    """An exported function: its core function and the one to call after its result was read."""

    function: Source
    post_return: Source | None


@dataclass
class Wiring:
    """All of it. `cores` counts core instances, of which some are bags; `exports` is by name."""

    modules: list[bytes] = field(default_factory=list)
    cores: list[Instance | Bag] = field(default_factory=list)
    exports: dict[str, Lifted] = field(default_factory=dict)


def read_wiring(component: bytes) -> Wiring:
    """Parse a component. Raises NotSupportedError for what this reader does not know."""
    return _Reader(component).read()


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = _HEADER
        self._wiring = Wiring()
        # Index spaces, in the order their sections fill them.
        self._core: dict[int, list[Source]] = {kind: [] for kind in range(4)}
        self._functions: list[FromHost | Lifted | None] = []
        self._instances: list[str | None] = []

    def read(self) -> Wiring:
        sections: dict[int, Callable[[], None]] = {
            2: self._core_instance,
            5: lambda: self._instances.append(None),
            6: self._alias,
            8: self._canon,
            10: self._import,
            11: self._export,
        }
        while self._at < len(self._data):
            kind = self._byte()
            end = self._number() + self._at
            if kind == 1:
                self._wiring.modules.append(self._data[self._at : end])
            elif kind in sections:
                count = 1 if kind == _INSTANCE else self._number()
                for _ in range(count):
                    sections[kind]()
            self._at = end
        return self._wiring

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _number(self) -> int:
        value, self._at = read_unsigned(self._data, self._at)
        return value

    def _name(self) -> str:
        length = self._number()
        self._at += length
        return self._data[self._at - length : self._at].decode()

    def _core_instance(self) -> None:
        if self._byte() == 0:
            module, arguments = self._number(), {}
            for _ in range(self._number()):
                name = self._name()
                self._expect(self._byte() == _CORE_INSTANCE, "an argument that is no core instance")
                arguments[name] = self._number()
            self._wiring.cores.append(Instance(module, arguments))
            return
        exports = {}
        for _ in range(self._number()):
            name, kind = self._name(), self._byte()
            exports[name] = self._core[kind][self._number()]
        self._wiring.cores.append(Bag(exports))

    def _alias(self) -> None:
        sort = self._byte()
        core = self._byte() if sort == 0 else None
        target = self._byte()
        if target > 1:  # of an outer component: types only
            self._number(), self._number()
            return
        instance, name = self._number(), self._name()
        if target == 1:
            self._expect(core in self._core, "an alias of a core type")
            self._core[core or 0].append(FromInstance(instance, name))
        elif sort == _FUNCTION:
            interface = self._instances[instance]
            self._functions.append(None if interface is None else FromHost(interface, name))
        elif sort == _INSTANCE:
            self._instances.append(None)

    def _canon(self) -> None:
        operation = self._byte()
        if operation in _RESOURCE_OPERATIONS:
            self._core[CORE_FUNCTION].append(FromHost("", f"resource {operation} of type {self._number()}"))
            return
        self._expect(operation in {_LIFT, _LOWER} and self._byte() == 0, f"canonical function {operation:#x}")
        function, options = self._number(), {}
        for _ in range(self._number()):
            option = self._byte()
            options[option] = self._number() if option in _OPTIONS_WITH_INDEX else 0
        if operation == _LOWER:
            lowered = self._functions[function]
            if not isinstance(lowered, FromHost):
                raise NotSupportedError("a lowered function that is not the host's")
            self._core[CORE_FUNCTION].append(lowered)
            return
        self._number()  # its type
        functions = self._core[CORE_FUNCTION]
        after = functions[options[_POST_RETURN]] if _POST_RETURN in options else None
        self._functions.append(Lifted(functions[function], after))

    def _import(self) -> None:
        self._expect(self._byte() == 0, "an import name with a version suffix")
        name, kind = self._name(), self._byte()
        if kind == _INSTANCE:
            self._instances.append(name)
            self._number()
        elif kind == _FUNCTION:
            self._functions.append(FromHost("", name))
            self._number()
        else:
            raise NotSupportedError(f'the import "{name}" is neither a function nor an instance')

    def _export(self) -> None:
        self._expect(self._byte() == 0, "an export name with a version suffix")
        name, kind = self._name(), self._byte()
        index = self._number()
        self._expect(self._byte() == 0, "an export with a type of its own")
        if kind == _FUNCTION:
            function = self._functions[index]
            self._functions.append(function)
            if isinstance(function, Lifted):
                self._wiring.exports[name] = function
        elif kind == _INSTANCE:
            self._instances.append(None)

    def _expect(self, holds: bool, what: str) -> None:  # noqa: FBT001 - reads as an assertion
        if not holds:
            raise NotSupportedError(f"the component has {what}, at byte {self._at}")
