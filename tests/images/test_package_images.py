"""The example image: its packages import, are known by their versions, work, and the same in every isolate."""

import importlib.metadata
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxes.image_file import SHIPPED, load_image
from sandboxes.images import image_path
from sandboxes.images.build import build_image
from sandboxes.images.build_packages import PackageImage
from tests.images.python_host import Image

DECLARED = load_image(SHIPPED / "data-basics.yaml")
# The first test to ask for the image builds it, which takes a minute of two cores.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="session")
def basics() -> Iterator[Image]:
    build_image(DECLARED.name)
    image = Image(image_path(DECLARED.name), Path(__file__).parents[2] / ".lockgate" / "test-images" / DECLARED.name)
    yield image
    image.close()


PROGRAMS = {
    "dates": (
        """
from dateutil import easter, parser, relativedelta, rrule
due = parser.parse("Sat 31 Jan 2026, 3pm") + relativedelta.relativedelta(months=1)
mondays = rrule.rrule(rrule.WEEKLY, count=2, byweekday=rrule.MO, dtstart=due)
[due, list(mondays), easter.easter(2026)]
""",
        ["2026-02-28T15:00:00", ["2026-03-02T15:00:00", "2026-03-09T15:00:00"], "2026-04-05"],
    ),
    "time zones": (
        """
from datetime import datetime
from zoneinfo import ZoneInfo
from dateutil import tz
[datetime(2026, 7, 1, tzinfo=zone).isoformat() for zone in (tz.gettz("Europe/Berlin"), ZoneInfo("Asia/Kolkata"))]
""",
        ["2026-07-01T00:00:00+02:00", "2026-07-01T00:00:00+05:30"],
    ),
    "YAML": (
        """
import yaml
data = yaml.safe_load("base: &b {n: 1, when: 2026-03-03}\\nlist: [*b, true, 1e3, 'ä']")
[data, yaml.safe_dump(data["list"][1:], allow_unicode=True), yaml.__with_libyaml__]
""",
        [
            {
                "base": {"n": 1, "when": "2026-03-03"},
                "list": [{"n": 1, "when": "2026-03-03"}, True, "1e3", "ä"],
            },
            "- true\n- 1e3\n- ä\n",
            False,
        ],
    ),
    "HTML": (
        """
from bs4 import BeautifulSoup
soup = BeautifulSoup("<p class=a>x <b>&amp;</b><p>z<a href=/y title=t>link", "html.parser")
[soup.select_one("p.a").get_text(), soup.select("p > a[href^='/']")[0]["title"], soup.find_all("p")[1].a.string]
""",
        ["x &zlink", "t", "link"],
    ),
    "tables": (
        """
from tabulate import tabulate
tabulate([{"n": 1, "x": "a"}, {"n": 20, "x": None}], headers="keys", tablefmt="github")
""",
        "|   n | x   |\n|-----|-----|\n|   1 | a   |\n|  20 |     |",
    ),
    "templates": (
        """
from jinja2 import DictLoader, Environment
pages = {"base": "<{% block b %}{% endblock %}>", "page": "{% extends 'base' %}{% block b %}{{ x }}{% endblock %}"}
Environment(loader=DictLoader(pages), autoescape=True).get_template("page").render(x="<&")
""",
        "<&lt;&amp;>",
    ),
    "templates that await": (
        """
import asyncio
from jinja2 import Environment
async def later(x): await asyncio.sleep(0.01); return x * 2
await Environment(enable_async=True).from_string("{{ later(21) }}").render_async(later=later)
""",
        "42",
    ),
}


@pytest.mark.parametrize(("code", "expected"), PROGRAMS.values(), ids=PROGRAMS.keys())
def test_small_programs(basics: Image, code: str, expected: object) -> None:
    outcome = basics.run(code)
    assert outcome.error is None
    assert outcome.value == expected


def test_every_package_is_known_by_its_version(basics: Image) -> None:
    code = """
from importlib import metadata
{"asked": {name: metadata.version(name) for name in inputs},
 "listed": sorted(each.metadata["Name"] for each in metadata.distributions())}
"""
    value = basics.run(code, inputs=[package.name for package in DECLARED.packages]).value
    assert value["asked"] == {package.name: package.version for package in DECLARED.packages}
    assert len(value["listed"]) == len(DECLARED.packages)


def test_metadata_of_one_package(basics: Image) -> None:
    code = """
from importlib import metadata
files = metadata.files("JINJA2")
[metadata.requires("jinja2"), [e.value for e in metadata.entry_points(group="babel.extractors")],
 next(f for f in files if f.name == "LICENSE.txt").read_text()[:9], metadata.packages_distributions()["yaml"]]
"""
    requires, entries, licence, owner = basics.run(code).value
    assert requires[0].startswith("MarkupSafe")
    assert entries == ["jinja2.ext:babel_extract[i18n]"]
    assert licence == "Copyright"
    assert owner == ["PyYAML"]


def test_a_package_that_is_not_there_is_not_found(basics: Image) -> None:
    error = basics.run("from importlib import metadata\nmetadata.version('numpy')").error
    assert error is not None
    assert error["name"] == "PackageNotFoundError"


def test_a_missing_module_says_which_are_there(basics: Image) -> None:
    error = basics.run("import numpy").error
    assert error is not None
    assert "this image has the standard library, a requests-shaped module and Jinja2, MarkupSafe" in error["message"]


def test_data_beside_modules_is_read(basics: Image) -> None:
    code = """
import pkgutil, tzdata
from importlib import resources
folder = resources.files("tzdata")
[pkgutil.get_data("tzdata", "zoneinfo/Europe/Berlin")[:4].decode(),
 (folder / "zoneinfo" / "Europe" / "Berlin").read_bytes()[:4].decode(),
 folder.joinpath("zones").open().readline(), (folder / "nothing").is_file(),
 sorted(place.name for place in folder.iterdir() if place.is_file()), tzdata.__file__]
"""
    by_package, by_path, line, nothing, names, file = basics.run(code).value
    assert (by_package, by_path, line, nothing) == ("TZif", "TZif", "Africa/Abidjan\n", False)
    assert "zones" in names
    assert file == "/packages/tzdata/__init__.py"


def test_every_module_of_the_packages_imports(basics: Image) -> None:
    code = """
import importlib
from lockgate import library
failed = {}
for name in sorted(library._packaged):
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed[name] = str(error)
failed
"""
    failed = basics.run(code).value
    # Bridges to packages and systems that are not there, and PyYAML's to its parser in C.
    bridges = {"bs4.builder._html5lib", "bs4.builder._lxml", "dateutil.tz.win", "dateutil.tzwin", "yaml.cyaml", "_yaml"}
    assert set(failed) <= bridges, failed


def test_the_same_bytes_in_every_isolate(basics: Image) -> None:
    code = "\n".join(program for program, _ in PROGRAMS.values()) + "\nimport sys\n"
    code += "print(sorted(sys.modules), id(yaml), hash('x'), list({'a', 'b', 'c'}), id(pages), repr(object()))"
    runs = [basics.run(code) for _ in range(3)]
    assert runs[0].error is None
    assert runs[0].host.logs
    assert {(run.raw, tuple(run.host.logs)) for run in runs} == {(runs[0].raw, tuple(runs[0].host.logs))}


def test_one_program_changes_nothing_for_the_next(basics: Image) -> None:
    assert basics.run("import yaml\nyaml.safe_load = None\nyaml.left = 1").ok
    assert basics.run("import yaml\n[hasattr(yaml, 'left'), yaml.safe_load('1')]").value == [False, 1]


def test_the_standard_library_is_all_there(basics: Image) -> None:
    code = "import sqlite3, requests\n[requests.__name__, *sqlite3.connect(':memory:').execute('select 1').fetchone()]"
    assert basics.run(code).value == ["requests", 1]


def test_it_runs_in_the_least_memory_a_profile_may_give(basics: Image) -> None:
    code = "\n".join(program for program, _ in PROGRAMS.values())
    assert basics.run(code, memory=48 << 20).ok


def test_a_declaration_that_does_not_work_fails_the_build(tmp_path: Path) -> None:
    image = DECLARED.model_copy(update={"preload": (), "practice": ("1 + 1", "x = 1\nimport nothing_such")})
    with pytest.raises(RuntimeError) as caught:
        PackageImage(image).build(tmp_path / "image.wasm", lambda _: None)
    assert str(caught.value).startswith("practice[1], line 2: ModuleNotFoundError: No module named 'nothing_such'")
    assert not list(tmp_path.iterdir())


ASKS_TOO_MUCH = {
    "a practice program that calls the host": (
        "[], ['print(\"this goes nowhere\")\\nawait codemode.a.b()']",
        "practice[0], line 2: RuntimeError: a practice program cannot call or wait for the host",
    ),
    "a module that does not import": (
        "['bs4.builder._lxml'], []",
        "preload: bs4.builder._lxml does not import: ModuleNotFoundError: No module named 'lxml'",
    ),
}


@pytest.mark.parametrize(("asked", "message"), ASKS_TOO_MUCH.values(), ids=ASKS_TOO_MUCH.keys())
def test_what_a_declaration_asks_too_much_is_told(basics: Image, asked: str, message: str) -> None:
    """As the build does it, in an isolate: a build takes half a minute."""
    outcome = basics.run(f"from lockgate import declared\ndeclared.prepare({asked})")
    assert outcome.error is not None
    assert outcome.error["message"].startswith(f"declaration: {message}")
    assert (outcome.lines, outcome.host.submitted) == ([], [])


def test_the_record_tells_what_it_is_made_of() -> None:
    build_image(DECLARED.name)
    record = json.loads(image_path(DECLARED.name).with_suffix(".json").read_text())
    assert record["packages"] == {package.name: package.version for package in DECLARED.packages}
    assert record["declaration"] == DECLARED.digest()
    assert 32 << 20 < record["memory_bytes"] < 48 << 20
    assert f"tzdata=={importlib.metadata.version('tzdata')}" in record["tools"]
