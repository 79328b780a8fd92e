"""`lockgate doctor` tries the lock-down and judges the engines."""

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
