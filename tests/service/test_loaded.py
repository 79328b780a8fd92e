"""What a reload takes over, what it leaves for the next start, and when the files count as changed."""

import os
from pathlib import Path

import pytest
import yaml

from runtime.service.loaded import Loaded
from runtime.service.watch import Watch
from sandboxes.problem import DocumentError

PROFILE = {"name": "p", "version": 1, "languages": ["javascript"], "environments": ["dev"]}


def write(directory: Path, config: dict[str, object] | None = None, **profile: object) -> Path:
    (directory / "profiles").mkdir(exist_ok=True)
    (directory / "profiles" / "p.yaml").write_text(yaml.safe_dump({**PROFILE, **profile}))
    path = directory / "lockgate.yaml"
    path.write_text(yaml.safe_dump({"profiles": ["profiles"], **(config or {})}))
    return path


def test_nothing_changed_is_told(tmp_path: Path) -> None:
    path = write(tmp_path)
    first = Loaded.read(path)
    assert first.followed_by(path).same_rules_as(first)


def test_profiles_secrets_and_hosts_are_taken_over_and_the_rest_is_told(tmp_path: Path) -> None:
    first = Loaded.read(write(tmp_path))
    changed = {
        "hosts": {"a.test": "127.0.0.1"},
        "secrets": {"s": {"env": "S"}},
        "listen": {"grpc": "127.0.0.1:1"},
    }
    after = first.followed_by(write(tmp_path, changed, version=2))
    assert (after.number, after.profiles["p"].version) == (1, 2)
    assert after.config.hosts == {"a.test": "127.0.0.1"}
    assert list(after.config.secrets) == ["s"]
    assert after.config.listen == first.config.listen
    assert after.stale == ("listen",)
    assert after.warnings() == ["listen in lockgate.yaml was changed; start the service again to use it"]


def test_a_profile_that_needs_another_image_waits_for_the_next_start(tmp_path: Path) -> None:
    first = Loaded.read(write(tmp_path))
    with pytest.raises(DocumentError, match=r"javascript \(counting fuel\).* start the service again"):
        first.followed_by(write(tmp_path, limits={"fuel": 1_000}))


def test_a_profiles_rules_and_an_upstreams_are_owned_by_them(tmp_path: Path) -> None:
    upstream = {"kind": "openapi", "document": "x.json", "base_url": "https://api.test"}
    generation = Loaded.read(write(tmp_path, {"upstreams": {"api": upstream}})).generation()
    assert {"profile p", "profile standard", "upstream api"} <= set(generation.owners)
    assert generation.terms["service"].environments == ("service",)


def test_a_watch_looks_at_contents_not_at_times(tmp_path: Path) -> None:
    path = write(tmp_path)
    watch = Watch([path, tmp_path / "profiles"])
    assert not watch.changed()
    os.utime(path, (1, 1))
    assert not watch.changed()
    write(tmp_path, version=2)
    assert watch.changed()
    assert not watch.changed()
    (tmp_path / "profiles" / "q.yaml").write_text("name: q\n")
    assert watch.changed()
    (tmp_path / "profiles" / "q.yaml").unlink()
    assert watch.changed()


def test_a_watch_follows_links_that_are_put_elsewhere(tmp_path: Path) -> None:
    """How Kubernetes replaces mounted files: the link moves, the files stay."""
    for name, version in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "p.yaml").write_text(f"version: {version}\n")
    (tmp_path / "now").symlink_to("one")
    watch = Watch([tmp_path / "now"])
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "now")
    assert watch.changed()
