"""Declared images: broken files with their messages, directories, and wheels that cannot be part of one."""

# ruff: noqa: E501 (messages in tables are one line each)

import hashlib
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sandboxes.document import parse_document
from sandboxes.image import Image, Package
from sandboxes.image_file import SHIPPED, ImageError, ImageStore, load_image, load_images
from sandboxes.images import fetch
from sandboxes.images.build_packages import _checked
from sandboxes.images.build_python import Library
from sandboxes.images.wheel import WheelError, read_wheel, unmet_requirements
from sandboxes.problem import DocumentError
from sandboxes.profile import Profile
from sandboxes.profile_file import ProfileError, parse_profile
from sandboxes.validation import validate

HASH = "0" * 64
GOOD = f"name: mine\npackages:\n  - {{name: six, version: '1.17.0', sha256: '{HASH}'}}\n"


def problems(text: str, tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ImageError) as caught:
        load_image(path)
    return str(caught.value).replace(f"{tmp_path}/", "")


BROKEN = {
    "no hash": (
        "name: mine\npackages:\n  - {name: six, version: '1.17.0'}\n",
        "mine.yaml:3:5: packages[0].sha256: missing; expected text: SHA-256 of the wheel, 64 hex digits, as PyPI lists it.",
    ),
    "hash of another kind": (
        GOOD.replace(HASH, "d41d8cd98f00b204e9800998ecf8427e"),
        'mine.yaml:3:44: packages[0].sha256: must match ^[0-9a-f]{64}$, not "d41d8cd98f00b204e9800998ecf8427e": '
        "SHA-256 of the wheel, 64 hex digits, as PyPI lists it.",
    ),
    "no version": (
        f"name: mine\npackages:\n  - {{name: six, sha256: '{HASH}'}}\n",
        'mine.yaml:3:5: packages[0].version: missing; expected text: Exactly one version such as "3.1.6"; in quotes.',
    ),
    "a number for a version": (
        GOOD.replace("'1.17.0'", "1.17"),
        "mine.yaml:3:26: packages[0].version: expected text, not 1.17",
    ),
    "a range for a version": (
        GOOD.replace("1.17.0", ">=1.17"),
        'mine.yaml:3:26: packages[0].version: must match ^[0-9][0-9A-Za-z.!+]{0,98}$, not ">=1.17": '
        'Exactly one version such as "3.1.6"; in quotes.',
    ),
    "an option for a name": (
        GOOD.replace("name: six", "name: '--pre'"),
        'mine.yaml:3:12: packages[0].name: must match ^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$, not "--pre": '
        "Its name in the package index.",
    ),
    "listed twice": (
        GOOD + f"  - {{name: SIX, version: '1.16.0', sha256: '{HASH}'}}\n",
        'mine.yaml:3:3: packages: "SIX" is listed twice',
    ),
    "no package": ("name: mine\npackages: []\n", "mine.yaml:2:11: packages: must have at least 1 item, not 0"),
    "unknown key": (GOOD + "preloads: [six]\n", 'mine.yaml:4:1: preloads: unknown key; did you mean "preload"?'),
    "no module": (
        GOOD + "preload: [six, 'six; import os']\n",
        'mine.yaml:4:16: preload[1]: expected the name of a module such as "dateutil.parser", not "six; import os"',
    ),
    "another name": (
        GOOD.replace("name: mine", "name: yours"),
        'mine.yaml:1:7: name: the image of this file is called like the file: "mine", not "yours"',
    ),
    "a taken name": (
        GOOD.replace("name: mine", "name: python"),
        'mine.yaml:1:7: name: "python" is an image of its own; choose another name',
    ),
}


@pytest.mark.parametrize(("text", "expected"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_declaration_says_where_and_what(tmp_path: Path, text: str, expected: str) -> None:
    assert problems(text, tmp_path) == expected


def test_the_shipped_images_load() -> None:
    store = load_images()
    assert set(store.images) == {"data-basics"}
    assert store.build_command("data-basics") == "python -m sandboxes.images.build data-basics"


def test_images_of_a_directory_join_the_shipped_ones(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    store = load_images([tmp_path])
    assert store.get("mine").packages[0].pin == "six 1.17.0"
    assert store.build_command("mine") == f"python -m sandboxes.images.build mine --from {tmp_path}"


def test_the_problems_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "data-basics.yaml").write_text(GOOD.replace("mine", "data-basics"))
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(ImageError) as caught:
        load_images([tmp_path, tmp_path / "absent"])
    messages = [problem.message for problem in caught.value.problems]
    assert messages == [
        "is not a directory",
        f'image "data-basics" is already declared in {SHIPPED / "data-basics.yaml"}',
        "the file is empty",
    ]


def test_an_unknown_image_names_the_nearest() -> None:
    with pytest.raises(LookupError, match='no image "data-basic"; did you mean "data-basics"'):
        load_images().get("data-basic")
    with pytest.raises(LookupError, match=r"\(images: javascript, python, typescript\)"):
        ImageStore().get("x")


def test_the_digest_is_of_every_field() -> None:
    image = load_image(SHIPPED / "data-basics.yaml")
    assert image.digest() != image.model_copy(update={"practice": ()}).digest()
    assert image.digest() == Image.model_validate_json(image.model_dump_json()).digest()


PROFILE = "name: p\nversion: 1\nlanguages: [{}]\nenvironments: [dev]\n{}"
BAD_PROFILES = {
    "no name": ("python", "image: Data\n", "p.yaml:5:8: image: must match ^[a-z][a-z0-9-]{0,62}$"),
    "another language's": ("python", "image: javascript\n", '"javascript" is no image that Python programs run on'),
    "nobody's": ("javascript", "image: data-basics\n", 'only Python programs run on "data-basics", and languages does'),
}


@pytest.mark.parametrize(("language", "line", "message"), BAD_PROFILES.values(), ids=BAD_PROFILES.keys())
def test_a_profile_refuses(language: str, line: str, message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse_profile(PROFILE.format(language, line).encode(), "p.yaml")
    assert message in str(caught.value)


def test_a_profile_runs_on_the_python_image_unless_it_says_otherwise() -> None:
    def parsed(line: str) -> Profile:
        return parse_profile(PROFILE.format("python", line).encode(), "p.yaml")

    assert parsed("").image == "python"
    assert parsed("image: data-basics\n").image == "data-basics"
    assert parsed("").digest() != parsed("image: data-basics\n").digest()


@given(st.binary(max_size=200))
def test_any_bytes_give_an_image_or_a_document_error(data: bytes) -> None:
    try:
        validate(Image, parse_document(data, "x"))
    except DocumentError as error:
        assert error.problems


# Wheels.


def make_wheel(
    folder: Path,
    name: str = "toy",
    *,
    files: Mapping[str, bytes] | None = None,
    metadata: str = "",
    pure: bool = True,
    version: str = "1.0",
) -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for file, data in (files if files is not None else {f"{name}/__init__.py": b"x = 1\n"}).items():
            archive.writestr(file, data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{metadata}")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: {str(pure).lower()}\n")
    return path


def package(path: Path, **fields: object) -> Package:
    name, version, *_ = path.name.split("-")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Package.model_validate({"name": name, "version": version, "sha256": digest, **fields})


EXTENSION = {"toy/__init__.py": b"", "toy/_fast.cpython-314-x86_64-linux-gnu.so": b"\x7fELF"}
REFUSED: dict[str, tuple[dict[str, object], dict[str, object], str]] = {
    "compiled modules": (
        {"files": EXTENSION, "pure": False},
        {},
        r"toy-1.0-py3-none-any.whl is not pure Python: it has toy/_fast.cpython-314-x86_64-linux-gnu.so. "
        r"There is no foreign code in an image; if toy works without, say drop_compiled: true",
    ),
    "impure by its own word": ({"pure": False}, {}, "is not pure Python: it says so itself"),
    "nothing to drop": ({}, {"drop_compiled": True}, "is pure Python: leave out drop_compiled"),
    "another version": ({}, {"version": "1.1"}, "the wheel with this SHA-256 is toy 1.0, not toy 1.1"),
    "another package": ({}, {"name": "tool"}, "the wheel with this SHA-256 is toy 1.0, not tool 1.0"),
    "a newer Python": ({"metadata": "Requires-Python: >=3.15\n"}, {}, "toy 1.0 needs Python >=3.15; the image has"),
    "a path that leads out": ({"files": {"../evil.py": b""}}, {}, r"the path '../evil.py' leads elsewhere"),
    "an absolute path": ({"files": {"/evil.py": b""}}, {}, r"the path '/evil.py' leads elsewhere"),
    "a broken requirement": ({"metadata": "Requires-Dist: a b c\n"}, {}, "Expected"),
}


@pytest.mark.parametrize(("made", "fields", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_wheel_is_refused_for(
    tmp_path: Path, made: dict[str, object], fields: dict[str, object], message: str
) -> None:
    path = make_wheel(tmp_path, **made)  # type: ignore[arg-type]
    with pytest.raises(WheelError) as caught:
        read_wheel(path, package(path, **fields))
    assert message in str(caught.value)


def test_what_is_no_wheel_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy-1.0-py3-none-any.whl"
    path.write_bytes(b"not a zip archive")
    with pytest.raises(WheelError, match=r"cannot be read: File is not a zip file"):
        read_wheel(path, package(path))


def test_compiled_modules_are_left_behind_where_the_declaration_says_so(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, files={**EXTENSION, "toy-1.0.data/platlib/toy/more.py": b""}, pure=False)
    wheel = read_wheel(path, package(path, drop_compiled=True))
    assert {name for name in wheel.files if ".dist-info" not in name} == {"toy/__init__.py", "toy/more.py"}


def test_what_packages_need_is_listed_too(tmp_path: Path) -> None:
    needs = (
        "Requires-Dist: absent>=2\nRequires-Dist: old>=3\nRequires-Dist: Helper[fast]\n"
        "Requires-Dist: winonly; sys_platform == 'win32'\nRequires-Dist: backport; python_version < '3.9'\n"
        "Requires-Dist: optional; extra == 'more'\n"
    )
    made = [
        make_wheel(tmp_path, "toy", metadata=needs),
        make_wheel(tmp_path, "old", version="2.0"),
        make_wheel(tmp_path, "helper", metadata="Provides-Extra: fast\nRequires-Dist: quick; extra == 'fast'\n"),
    ]
    assert unmet_requirements([read_wheel(path, package(path)) for path in made]) == [
        "toy 1.0 needs absent>=2, which is not listed under packages",
        "toy 1.0 needs old>=3, and the version listed is 2.0",
        "helper 1.0 needs quick, which is not listed under packages",
    ]


Spoil = Callable[[Path], list[Path]]
CLASHES: dict[str, tuple[Spoil, str]] = {
    "the standard library": (
        lambda folder: [make_wheel(folder, files={"json/__init__.py": b""})],
        "toy 1.0 brings the module json, which is the standard library's",
    ),
    "the image's own": (
        lambda folder: [make_wheel(folder, files={"requests.py": b""})],
        "toy 1.0 brings the module requests, which is the image's own",
    ),
    "another package": (
        lambda folder: [make_wheel(folder), make_wheel(folder, "twin", files={"toy/__init__.py": b""})],
        "twin 1.0 and toy 1.0 both bring toy/__init__.py",
    ),
}


@pytest.mark.parametrize(("make", "message"), CLASHES.values(), ids=CLASHES.keys())
def test_a_package_stays_out_of_the_way_of(tmp_path: Path, make: Spoil, message: str) -> None:
    paths = {path: package(path) for path in make(tmp_path)}
    image = Image(name="mine", packages=tuple(paths.values()))
    standard = Library(blob=b"", index={"modules": {"json": (0, 0, True)}, "files": {}}, compiler=tmp_path)
    with pytest.raises(RuntimeError) as caught:
        _checked(image, {package.sha256: path for path, package in paths.items()}, standard)
    assert str(caught.value) == message


def test_a_module_to_preload_is_one_of_the_packages(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, files={"toy/sub/mod.py": b""})
    standard = Library(blob=b"", index={"modules": {}, "files": {}}, compiler=tmp_path)
    image = Image(name="mine", packages=(package(path),), preload=("toy.sub", "toy.other"))
    with pytest.raises(RuntimeError, match=r"^preload: no package listed has a module toy.other$"):
        _checked(image, {image.packages[0].sha256: path}, standard)


# Fetching, from a directory in place of an index.


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def test_a_wheel_is_fetched_once_by_its_hash(tmp_path: Path, index: Path) -> None:
    wanted = package(make_wheel(index))
    cache = tmp_path / "cache"
    first = fetch.fetch_wheels([wanted], cache)[wanted.sha256]
    assert hashlib.sha256(first.read_bytes()).hexdigest() == wanted.sha256
    next(index.glob("*.whl")).unlink()
    assert fetch.fetch_wheels([wanted], cache)[wanted.sha256] == first


def test_a_spoilt_cache_is_not_believed(tmp_path: Path, index: Path) -> None:
    wanted = package(make_wheel(index))
    cache = tmp_path / "cache"
    fetch.fetch_wheels([wanted], cache)[wanted.sha256].write_bytes(b"other")
    path = fetch.fetch_wheels([wanted], cache)[wanted.sha256]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == wanted.sha256


def test_a_wheel_with_another_hash_is_refused(tmp_path: Path, index: Path) -> None:
    wanted = package(make_wheel(index), sha256=HASH)
    with pytest.raises(RuntimeError) as caught:
        fetch.fetch_wheels([wanted], tmp_path / "cache")
    assert "pip could not fetch the wheels" in str(caught.value)
    assert f"Expected sha256 {HASH}" in str(caught.value)
    assert not list((tmp_path / "cache").rglob("*.whl"))


def test_a_package_that_nobody_has_is_told(tmp_path: Path, index: Path) -> None:
    wanted = Package(name="lockgate-no-such-package", version="1.0", sha256=HASH)
    with pytest.raises(RuntimeError, match=r"No matching distribution found for lockgate-no-such-package==1\.0"):
        fetch.fetch_wheels([wanted], tmp_path / "cache")


def test_the_image_of_the_page_loads(tmp_path: Path) -> None:
    page = (SHIPPED.parents[1] / "docs" / "images.md").read_text(encoding="utf-8")
    path = tmp_path / "reports.yaml"
    path.write_text(page.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    assert load_image(path).preload == ("tabulate",)
    assert set(re.findall(r"^\| `(\w+)` \|[^|]*\|[^|]*\|$", page, re.MULTILINE)) == set(Image.model_fields)


def test_the_example_is_readable_to_other_yaml_readers() -> None:
    data = yaml.safe_load((SHIPPED / "data-basics.yaml").read_text())
    assert Image.model_validate_json(load_image(SHIPPED / "data-basics.yaml").model_dump_json()).name == data["name"]
