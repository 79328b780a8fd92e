"""The documentation states what exists: its examples load, its tables agree, its links lead somewhere."""

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import TypeAdapter

from egress.injection.others import CREDENTIAL_HEADERS, CREDENTIAL_PARAMETERS, is_credential_header
from sandboxes.approval_rule import ApprovalRule
from sandboxes.call_facts import READS, CallFacts
from sandboxes.config import Config, Listen, load_config
from sandboxes.injection import Injection
from sandboxes.injections import Inject
from sandboxes.limits import Limits
from sandboxes.profile_file import ProfileError, load_profiles, parse_profile
from sandboxes.risk import MANY_ITEMS, risk_of
from sandboxes.secret_source import SecretSource
from sandboxes.secret_store import SecretStoreConfig
from sandboxes.upstream import McpHttpUpstream, OpenApiUpstream

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PROFILES = (ROOT / "docs" / "writing-profiles.md").read_text(encoding="utf-8")
FENCED = PROFILES.split("```")[1::2]
EXAMPLE = next(block.removeprefix("yaml\n") for block in FENCED if block.startswith("yaml\nname:"))
ERRORS = next(block for block in FENCED if "did you mean" in block)
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def number(cell: str) -> int:
    amount, _, unit = cell.partition(" ")
    return int(amount.replace(",", "")) * UNITS.get(unit, 1)


def test_the_profile_of_the_page_loads() -> None:
    assert parse_profile(EXAMPLE.encode(), "billing.yaml").name == "billing"


def test_the_configuration_of_the_page_loads(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    path = tmp_path / "lockgate.yaml"
    path.write_text(page.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    config = load_config(path)
    assert set(config.upstreams) == {"ledger", "notes", "issues"}
    assert config.listen == Listen()
    assert set(re.findall(r"^\| `(\w+)` \|", page.split("## The portal")[0], re.MULTILINE)) == set(Config.model_fields)


def test_the_upstreams_page_names_every_key_and_its_example_loads(tmp_path: Path) -> None:
    page, _, mcp = (ROOT / "docs" / "upstreams.md").read_text(encoding="utf-8").partition("## MCP upstreams")
    told = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", mcp, re.MULTILINE))))
    assert told == {"allow", "deny", "aliases", "review"} <= set(McpHttpUpstream.model_fields)
    path = tmp_path / "lockgate.yaml"
    path.write_text(page.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    github = load_config(path).upstreams["github"]
    assert isinstance(github, OpenApiUpstream)
    named = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert named == set(OpenApiUpstream.model_fields) - {"kind", "networks"}
    defaults = {
        name: OpenApiUpstream.model_fields[name].default for name in ("refresh_s", "retries", "retry_budget_ms")
    }
    assert all(f"| `{name}` | {value} |" in page for name, value in defaults.items())


def test_the_errors_of_the_page_are_those_given() -> None:
    broken = EXAMPLE.replace("memory_bytes:", "memory:").replace('"billing.list*"', '"*"')
    broken = broken.replace("      paths: [/v1/latest, /v1/history/*]\n", "")
    with pytest.raises(ProfileError) as caught:
        parse_profile(broken.encode(), "billing.yaml")
    assert str(caught.value) == ERRORS.strip()


def test_the_table_of_limits_is_that_of_the_model() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d[^|]*) \| (\d[^|]*) \| (\d[^|]*) \|", PROFILES, re.MULTILINE)
    told = {name: tuple(number(cell.strip()) for cell in cells) for name, *cells in rows}
    bounds = {}
    for name, field in Limits.model_fields.items():
        low = next(item.ge for item in field.metadata if hasattr(item, "ge"))
        high = next(item.le for item in field.metadata if hasattr(item, "le"))
        bounds[name] = (field.default, low, high)
    assert told == bounds


def test_the_table_of_shipped_profiles_names_them_all() -> None:
    assert set(re.findall(r"^\| `(\w+)` \| [^|`]+ \| [^|`]+ \| [a-z]+: ", PROFILES, re.MULTILINE)) == set(
        load_profiles().profiles
    )


@pytest.fixture(scope="module")
def secrets_page() -> str:
    return (ROOT / "docs" / "secrets.md").read_text(encoding="utf-8")


def test_the_examples_of_secrets_load(secrets_page: str, tmp_path: Path) -> None:
    config, rules, several, injection = (block.split("```")[0] for block in secrets_page.split("```yaml\n")[1:])
    path = tmp_path / "lockgate.yaml"
    path.write_text(config, encoding="utf-8")
    declared = load_config(path).secrets
    head = "name: p\nversion: 1\nlanguages: [python]\nenvironments: [dev]\n"
    profile = parse_profile(f"{head}{rules}".encode(), "p.yaml")
    assert profile.egress.secrets() <= set(declared)
    assert TypeAdapter(Injection).validate_python(yaml.safe_load(injection)["inject"]).as_ == "placeholder"
    assert len(TypeAdapter(Inject).validate_python(yaml.safe_load(several)["inject"])) == 2


def test_the_tables_of_secrets_are_those_of_the_models(secrets_page: str) -> None:
    forms = secrets_page.split("## Forms")[1].split("## Placeholders", maxsplit=1)[0]
    told = {
        row[0]: set(re.findall(r"`(\w+)`", row[1]))
        for row in re.findall(r"^\| `([\w]+)` \| ([^|]*?) ?\| ", forms, re.MULTILINE)
        if row[0] != "as"
    }
    members = get_args(get_args(Injection)[0])
    own = {m.model_fields["as_"].default: set(m.model_fields) - {"as_", "secret"} for m in members}
    assert told == own
    kept = secrets_page.split("## Where values are kept")[1].split("## Fetched tokens", maxsplit=1)[0]
    stores = re.findall(r"^\| `(vault|aws|onepassword)` \|", kept, re.MULTILINE)
    kinds = [get_args(model.model_fields["kind"].annotation)[0] for model in get_args(get_args(SecretStoreConfig)[0])]
    assert stores == kinds
    assert set(re.findall(r"`(\w+):? ", kept)) | set(re.findall(r"`(\w+)`", kept)) >= set(SecretSource.model_fields)


def test_the_page_names_what_is_taken_off(secrets_page: str) -> None:
    listed = secrets_page.split("## What else is taken off")[1].split("## Where", maxsplit=1)[0]
    words = {word.lower() for word in re.findall(r"`([\w-]+)`", listed)}
    whole = {name.decode() for name in CREDENTIAL_HEADERS} | CREDENTIAL_PARAMETERS
    assert whole - words == set()
    assert all(is_credential_header(f"x{word}".encode()) for word in words if re.match("-.", word))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def slug(heading: str) -> str:
    """A heading's anchor, as the usual renderers make it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_anchors_are_headings_of_their_page(page: Path) -> None:
    lost = []
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        text = (page.parent / target if target else page).read_text(encoding="utf-8")
        if anchor not in map(slug, re.findall(r"^#+ (.+)$", text, re.MULTILINE)):
            lost.append(f"{target}#{anchor}")
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(page: Path) -> None:
    named = re.findall(
        r"`((?:runtime|egress|sandboxes|tests|bench|proto|docs)/[\w./-]+\.\w+)`", page.read_text(encoding="utf-8")
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


def walk() -> list[tuple[list[str], list[str]]]:
    """Each step of the architecture's walk: its files, its functions."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]+ \| (`[^|]+`) \| (`[^|]+`) \|$", page.split("## The life")[0], re.MULTILINE)
    steps = [(re.findall(r"`([^`]+)`", files), re.findall(r"`([^`]+)`", names)) for files, names in rows]
    return [step for step in steps if all(file.endswith(".py") for file in step[0])]


def test_the_walk_through_the_code_names_what_is_there() -> None:
    assert len(walk()) > 20
    for files, functions in walk():
        text = "".join((ROOT / file).read_text(encoding="utf-8") for file in files)
        defined = set(re.findall(r"^\s*(?:async )?(?:def|class) (\w+)", text, re.MULTILINE))
        lost = [name for name in functions if name not in defined]
        assert lost == [], files


def test_every_decision_is_listed_and_fits_on_half_a_page() -> None:
    directory = ROOT / "docs" / "decisions"
    rows = re.findall(
        r"^\| \[([^]]+)\]\(([^)]+)\)", (directory / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    listed = [name for _, name in rows]
    assert listed == sorted(path.name for path in directory.glob("*.md") if path.name != "README.md")
    pages = [name for name in listed if name[0].isdigit()]
    # Counted from 1 without a gap, so that none is there twice, and told by the number that its page has.
    assert [name[:5] for name in pages] == [f"{number:04}-" for number in range(1, len(pages) + 1)]
    assert [label for label, name in rows if name in pages] == [name[:4] for name in pages]
    for name in pages:
        text = (directory / name).read_text(encoding="utf-8")
        assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) == ["Context", "Choice", "Consequence"]
        assert len(text.split()) <= 330, name


def test_the_table_of_approval_rules_is_that_of_the_model_and_its_example_loads() -> None:
    section = PROFILES.split("## Approvals")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [
        "name", "action", "tools", "kinds", "methods", "effects", "arguments", "environments", "risk_at_least",
        "after_writes", "approvers", "expires_s", "self_approval", "reason",
    ]  # fmt: skip
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(ApprovalRule.model_fields)
    head = "name: p\nversion: 1\nlanguages: [python]\nenvironments: [dev]\n"
    profile = parse_profile(f"{head}{section.split('```yaml\n')[1].split('```')[0]}".encode(), "p.yaml")
    assert [rule.action for rule in profile.approvals.rules] == ["allow", "deny", "ask", "ask", "ask"]


def test_the_table_of_risks_is_that_of_the_code() -> None:
    page = (ROOT / "docs" / "approvals.md").read_text(encoding="utf-8").split("## The risk score")[1].split("\n## ")[0]
    told = re.findall(r"^\| (\d+)[^|]* \| ([^|:]+?)(?::[^|]*)? \|", page, re.MULTILINE)
    worst = CallFacts(
        kind="tool",
        tool="x.delete",
        environment="prod",
        arguments={"ids": list(range(MANY_ITEMS + 1))},
        earlier_writes=1,
    )
    stage = CallFacts(kind="tool", tool="x.delete", environment="stage", effect=READS)
    factors = [*risk_of(worst).factors, *risk_of(stage).factors]
    assert {(str(each.weight), each.reason) for each in factors} == set(told)
