"""`lockgate doctor` tries the lock-down and judges the engines."""

from pathlib import Path

import pytest

from runtime.command import doctor
from runtime.isolate.versions import QUICKJS, WASMTIME
from runtime.worker.wall_probe import probe_walls
from sandboxes.walls import WALLS, missing_walls


def test_the_walls_are_tried_by_a_process_like_a_worker() -> None:
    assert tuple(probe_walls()) == WALLS


def test_every_wall_has_its_line_and_a_missing_one_is_a_remark(monkeypatch) -> None:
    report = {**dict.fromkeys(WALLS, "up"), "files": "refused: landlock"}
    monkeypatch.setattr(doctor, "probe_walls", lambda: report)
    findings = list(doctor._walls())
    assert [finding.text.split(":")[0] for finding in findings] == [f"wall {wall}" for wall in WALLS]
    assert [finding for finding in findings if not finding.good] == [
        doctor.Finding(good=False, needed=False, text="wall files: refused: landlock")
    ]
    assert missing_walls(report) == {"files": "refused: landlock"}


def test_a_lock_down_that_cannot_be_tried_is_told(monkeypatch) -> None:
    def fails() -> None:
        raise OSError(None, "the lock-down could not be tried: no")

    monkeypatch.setattr(doctor, "probe_walls", fails)
    (finding,) = doctor._walls()
    assert finding == doctor.Finding(good=False, needed=False, text="the lock-down could not be tried: no")


def test_an_engine_below_its_floor_is_missing(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("LOCKGATE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(doctor, "found_versions", lambda: {WASMTIME: "49.0.0", QUICKJS: "0.17.0"})
    old, new = doctor._engines(None)
    assert (old.good, old.needed, new.good) == (False, True, True)
    assert "wasmtime 49.0.0 is below 50.0.0" in old.text


def findings(directory: Path, monkeypatch, **documents: str) -> list[doctor.Finding]:
    monkeypatch.setenv("LOCKGATE_HOME", str(directory / "home"))
    for name, text in documents.items():
        path = directory / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return list(doctor._configuration(str(directory / "lockgate.yaml")))


PROFILE = "name: wanting\nversion: 1\nlanguages: [python]\nenvironments: [dev]\nimage: {}\n"
IMAGE = f"name: mine\npackages:\n  - {{name: six, version: '1.17.0', sha256: '{'0' * 64}'}}\n"


def problems(found: list[doctor.Finding]) -> list[str]:
    return [finding.text for finding in found if finding.needed and not finding.good]


def test_an_image_that_a_profile_names_and_nobody_built_is_a_problem(monkeypatch, tmp_path) -> None:
    found = findings(
        tmp_path,
        monkeypatch,
        lockgate="profiles: [profiles]\nimages: [images]\n",
        profiles__wanting=PROFILE.format("mine"),
        images__mine=IMAGE,
    )
    command = f"python -m sandboxes.images.build mine --from {tmp_path}/images"
    assert problems(found) == [f'profile "wanting": the image "mine" is not built; run: {command}']


def test_an_image_that_nobody_declares_is_a_problem(monkeypatch, tmp_path) -> None:
    documents = {"lockgate": "profiles: [profiles]\n", "profiles__wanting": PROFILE.format("data-basic")}
    (problem,) = problems(findings(tmp_path, monkeypatch, **documents))
    assert problem.startswith('profile "wanting": there is no image "data-basic"; did you mean "data-basics"?')


def test_a_broken_declaration_is_a_problem(monkeypatch, tmp_path) -> None:
    documents = {"lockgate": "images: [images]\n", "images__mine": IMAGE.replace("mine", "other")}
    (problem,) = problems(findings(tmp_path, monkeypatch, **documents))
    assert problem.startswith(f"{tmp_path}/images/mine.yaml:1:7: name: the image of this file is called like the file")


def test_a_secret_says_what_is_not_there(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("SET", "x")
    config = "secrets:\n  a: {env: SET}\n  b: {env: NOT_SET}\n  c: {file: absent}\n"
    found = findings(tmp_path, monkeypatch, lockgate=config)
    assert [(finding.good, finding.text) for finding in found if finding.text.startswith("secret")] == [
        (True, "secret a: from the variable SET"),
        (False, "secret b: the variable NOT_SET is not set"),
        (False, f"secret c: the file {tmp_path}/absent cannot be read"),
    ]


@pytest.mark.parametrize(("installed", "said"), [(True, "op: onepassword"), (False, 'install "lockgate[onepassword]"')])
def test_a_store_says_whether_its_library_is_there(monkeypatch, tmp_path, installed: bool, said: str) -> None:
    found = (lambda _: object()) if installed else (lambda _: None)
    monkeypatch.setattr("importlib.util.find_spec", found)
    config = (
        'secrets: {t: {env: T}}\nsecret_stores: {op: {kind: onepassword, url: "https://op.test", token: t, vault: v}}\n'
    )
    (store,) = (f for f in findings(tmp_path, monkeypatch, lockgate=config) if f.text.startswith("secret store"))
    assert (store.good, store.needed) == (installed, True)
    assert store.text.endswith(said)


def test_one_upstream_is_not_upstreams(monkeypatch, tmp_path) -> None:
    upstream = "upstreams:\n  a: {kind: mcp, url: 'http://127.0.0.1:9/mcp'}\n"
    assert findings(tmp_path, monkeypatch, lockgate=upstream)[0].text == f"{tmp_path}/lockgate.yaml: 1 upstream"
    assert findings(tmp_path, monkeypatch, lockgate="upstreams: {}\n")[0].text.endswith("lockgate.yaml: no upstream")


def test_an_interpreter_that_is_too_old_says_what_is_needed(monkeypatch) -> None:
    monkeypatch.setattr(doctor, "_PYTHON", (9, 1))
    assert next(doctor._interpreter()).text.endswith("; 9.1 or newer is needed")
    monkeypatch.undo()
    assert "needed" not in next(doctor._interpreter()).text


def test_what_is_wrong_is_called_a_problem_and_counted() -> None:
    assert doctor._line(doctor.Finding(good=True, needed=True, text="x")) == "ok       x"
    assert doctor._line(doctor.Finding(good=False, needed=True, text="y")) == "PROBLEM  y"
    assert doctor._line(doctor.Finding(good=False, needed=False, text="z")) == "note     z"
    assert (doctor._verdict(0), doctor._verdict(1), doctor._verdict(2)) == ("ready", "1 problem", "2 problems")
