"""The API definition as its readers need it: everything has a comment, and names follow protobuf's style guide."""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import pytest
from google.protobuf import descriptor_pb2 as descriptors

ROOT = Path(__file__).resolve().parents[2]
PROTOS = sorted((ROOT / "proto").rglob("*.proto"))
# Members of the descriptor messages that hold named things, by their numbers in descriptor.proto.
FILE_MESSAGES, FILE_ENUMS, FILE_SERVICES = 4, 5, 6
MESSAGE_FIELDS, MESSAGE_MESSAGES, MESSAGE_ENUMS, MESSAGE_ONEOFS = 2, 3, 4, 8
MEMBERS = 2  # of an enum: its values; of a service: its methods
LOWER_SNAKE = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
UPPER_SNAKE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*")
PASCAL = re.compile(r"(?:[A-Z][a-z0-9]+)+")


class Named(NamedTuple):
    """One thing of a file: its kind, full name, descriptor, the descriptor it is in, and whether it has a comment."""

    kind: str
    name: str
    descriptor: object
    parent: object
    commented: bool


def described() -> list[descriptors.FileDescriptorProto]:
    """Our files as protoc reads them, with comments."""
    well_known = str(resources.files("grpc_tools") / "_proto")
    arguments = ["--include_source_info", "--descriptor_set_out=/dev/stdout", f"-I{ROOT / 'proto'}", f"-I{well_known}"]
    command = [sys.executable, "-m", "grpc_tools.protoc", *arguments, *map(str, PROTOS)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return list(descriptors.FileDescriptorSet.FromString(done.stdout).file)


FILES = described()


class Walk:
    """Through one file, naming what it meets. `path` is where a thing stands, as source info counts it."""

    def __init__(self, file: descriptors.FileDescriptorProto) -> None:
        self._file = file
        self._comments = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}

    def everything(self) -> Iterator[Named]:
        package = self._file.package
        yield from self._messages(self._file.message_type, (FILE_MESSAGES,), package)
        yield from self._with_members("enum", self._file.enum_type, (FILE_ENUMS,), package)
        yield from self._with_members("service", self._file.service, (FILE_SERVICES,), package)

    def _each(self, kind: str, found, path: tuple[int, ...], scope: str, parent=None) -> Iterator[Named]:
        for index, descriptor in enumerate(found):
            commented = bool(self._comments.get((*path, index), "").strip())
            yield Named(kind, f"{scope}.{descriptor.name}", descriptor, parent, commented)

    def _with_members(self, kind: str, found, path: tuple[int, ...], scope: str) -> Iterator[Named]:
        yield from self._each(kind, found, path, scope)
        for index, descriptor in enumerate(found):
            members = descriptor.value if kind == "enum" else descriptor.method
            member = "value" if kind == "enum" else "rpc"
            yield from self._each(member, members, (*path, index, MEMBERS), f"{scope}.{descriptor.name}", descriptor)

    def _messages(self, found, path: tuple[int, ...], scope: str) -> Iterator[Named]:
        for named, index in zip(self._each("message", found, path, scope), range(len(found)), strict=True):
            message, here = found[index], (*path, index)
            if message.options.map_entry:
                continue  # made by protoc for a map field
            yield named
            yield from self._each("field", message.field, (*here, MESSAGE_FIELDS), named.name, message)
            yield from self._each("oneof", message.oneof_decl, (*here, MESSAGE_ONEOFS), named.name, message)
            yield from self._messages(message.nested_type, (*here, MESSAGE_MESSAGES), named.name)
            yield from self._with_members("enum", message.enum_type, (*here, MESSAGE_ENUMS), named.name)


NAMED = [thing for file in FILES for thing in Walk(file).everything()]


def of(kind: str) -> list[Named]:
    found = [thing for thing in NAMED if thing.kind == kind]
    assert found, kind
    return found


def test_all_files_are_read():
    assert sorted(file.name for file in FILES) == [str(path.relative_to(ROOT / "proto")) for path in PROTOS]
    assert all(file.syntax == "proto3" for file in FILES)


@pytest.mark.parametrize("kind", ["service", "rpc", "message", "field", "oneof", "enum", "value"])
def test_everything_has_a_comment(kind):
    assert [thing.name for thing in of(kind) if not thing.commented] == []


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: path.name)
def test_a_comment_is_a_sentence(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [index for index, line in enumerate(lines) if line.lstrip().startswith("//")]
    ends = [index for index in comments if index + 1 not in comments]
    assert [f"{path.name}:{index + 1}" for index in ends if not lines[index].endswith((".", ":"))] == []


def test_the_package_is_the_directory():
    assert [file.package for file in FILES] == [str(Path(file.name).parent).replace("/", ".") for file in FILES]
    assert all(re.search(r"\.v\d+$", file.package) for file in FILES)


STYLES = {
    "service": PASCAL,
    "rpc": PASCAL,
    "message": PASCAL,
    "field": LOWER_SNAKE,
    "oneof": LOWER_SNAKE,
    "enum": PASCAL,
    "value": UPPER_SNAKE,
}


@pytest.mark.parametrize("kind", STYLES)
def test_names_are_of_protobufs_style(kind):
    assert [thing.name for thing in of(kind) if not STYLES[kind].fullmatch(thing.descriptor.name)] == []


def test_values_begin_with_their_enums_name():
    def prefix(enum) -> str:
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"

    assert [value.name for value in of("value") if not value.descriptor.name.startswith(prefix(value.parent))] == []


def test_zero_is_unspecified():
    zeros = [value for value in of("value") if value.descriptor.number == 0]
    assert len(zeros) == len(of("enum"))
    assert [zero.name for zero in zeros if not zero.descriptor.name.endswith("_UNSPECIFIED")] == []


def test_an_rpc_has_a_request_and_a_response_of_its_name():
    """But a stream answers with events, and takes the request of the call it streams."""
    wrong = []
    for method in of("rpc"):
        rpc = method.descriptor
        given, answered = (kind.rpartition(".")[2] for kind in (rpc.input_type, rpc.output_type))
        name = rpc.name.removesuffix("Stream") if rpc.server_streaming else rpc.name
        if (given, answered) != (f"{name}Request", f"{name}{'Event' if rpc.server_streaming else 'Response'}"):
            wrong.append(method.name)
    assert wrong == []


def test_numbers_are_never_skipped():
    """Numbers that are missing are reserved, so that nobody gives them another meaning."""
    for message in of("message"):
        numbers = {field.number for field in message.descriptor.field}
        reserved = {number for span in message.descriptor.reserved_range for number in range(span.start, span.end)}
        assert numbers | reserved == set(range(1, max(numbers | reserved, default=0) + 1)), message.name
