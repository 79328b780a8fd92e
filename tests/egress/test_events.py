"""The event file and the counters: bounded, shared, whole lines only, and nothing leaves that cannot be recorded."""

import os
import resource
import stat
import time
from pathlib import Path

import pytest

from egress.event_file import EventFile
from egress.events import EventLog
from egress.metrics import Metrics
from runtime.service.metrics_route import summed
from sandboxes.egress_event import read_event
from tests.egress.lab import Lab, rule, rule_set, start
from tests.egress.origin import Origin, answer
from tests.sandboxes.test_egress_event import RECORD


def opened(path: Path, most_bytes: int = 1 << 20, most_files: int = 3) -> EventFile:
    return EventFile(str(path), most_bytes=most_bytes, most_files=most_files)


def test_the_file_turns_over_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "events"
    file = opened(path, most_bytes=25, most_files=3)
    for number in range(10):
        file.append(b"line %d xxx\n" % number)
    file.close()
    assert sorted(found.name for found in tmp_path.iterdir()) == ["events", "events.1", "events.2", "events.lock"]
    kept = b"".join((tmp_path / name).read_bytes() for name in ("events.2", "events.1", "events"))
    assert kept == b"".join(b"line %d xxx\n" % number for number in range(4, 10))
    assert {stat.S_IMODE(found.stat().st_mode) for found in tmp_path.iterdir()} == {0o600}


def test_one_file_only_starts_afresh(tmp_path: Path) -> None:
    file = opened(tmp_path / "events", most_bytes=10, most_files=1)
    file.append(b"first\n")
    file.append(b"second\n")
    file.close()
    assert (tmp_path / "events").read_bytes() == b"second\n"


def test_two_processes_share_it_and_follow_each_other_over(tmp_path: Path) -> None:
    path = tmp_path / "events"
    one, other = opened(path, most_bytes=20, most_files=9), opened(path, most_bytes=20, most_files=9)
    for number in range(9):
        (one if number % 2 else other).append(b"number %d\n" % number)
    one.close()
    other.close()
    files = [tmp_path / f"events.{number}" for number in (4, 3, 2, 1)] + [path]
    assert b"".join(found.read_bytes() for found in files) == b"".join(b"number %d\n" % number for number in range(9))


def test_an_operator_may_move_it_away(tmp_path: Path) -> None:
    path = tmp_path / "events"
    file = opened(path)
    file.append(b"one\n")
    path.rename(tmp_path / "moved")
    file.append(b"two\n")
    file.close()
    assert path.read_bytes() == b"two\n"


def test_half_a_line_from_before_a_crash_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(b'{"half": ')
    file = opened(path)
    file.append(b"whole\n")
    file.close()
    assert path.read_bytes().splitlines() == [b'{"half": ', b"whole"]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "events").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="events"):
        opened(tmp_path / "events")


def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events"
    file = opened(path)
    file.append(b"before\n")
    real = os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) < 6:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[:6])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        file.append(b"a longer line\n")
    monkeypatch.undo()
    assert path.read_bytes() == b"before\n"
    file.close()


def test_the_log_numbers_events_and_survives_a_disk_that_fills_up(tmp_path: Path) -> None:
    class Disk(EventFile):
        full = True
        tried = 0

        def append(self, data: bytes) -> None:
            self.tried += 1
            if self.full:
                raise OSError(28, "No space left on device")
            super().append(data)

    file = Disk(str(tmp_path / "events"), most_bytes=1 << 20, most_files=1)
    log = EventLog(file, Metrics(None))
    log.put(RECORD)
    wait_until(lambda: not log.healthy)
    log.put(RECORD)
    file.full = False
    wait_until(lambda: log.healthy)
    assert log.close() == 0
    found = [read_event(line) for line in (tmp_path / "events").read_bytes().splitlines()]
    assert len(found) == 2
    assert len({record["uid"] for record in found}) == 2


def wait_until(true) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def recorded(tmp_path: Path):
    """A proxy of its own and the origin it may reach."""
    origin = Origin(lambda _: answer(b"hello"))
    rules = rule_set(rule(name="here", ports=[origin.port]))
    lab = start(
        tmp_path, rules, hosts={"api.example.test": "127.0.0.1"}, metrics_file=str(tmp_path / "egress.prom"),
        events={"file_bytes": 1 << 20, "files": 2, "sync_ms": 0},
    )  # fmt: skip
    yield lab, origin, lab.token(rules)
    lab.stop()
    origin.close()


def ask(lab: Lab, origin: Origin, token: str) -> int:
    return lab.get(f"http://api.example.test:{origin.port}/", token).status


def test_a_full_disk_closes_the_proxy_until_there_is_room(recorded) -> None:
    """A limit on the size of its files is to the proxy what a full disk is. The first event may find out."""
    lab, origin, token = recorded
    pid = lab.process.pid
    assert ask(lab, origin, token) == 200
    lab.records(1)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (lab.events.stat().st_size + 10, resource.RLIM_INFINITY))
    for _ in range(200):
        if ask(lab, origin, token) == 403:
            break
    before = len(origin.received)
    assert [ask(lab, origin, token) for _ in range(5)] == [403] * 5
    assert len(origin.received) == before
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    wait_until(lambda: ask(lab, origin, token) == 200)
    allowed = [record for record in lab.records(before + 7) if record["event"] == "egress" and record["allowed"]]
    assert len(allowed) >= before


def test_the_live_file_turns_over(recorded) -> None:
    lab, origin, token = recorded
    wire = lab.wire()
    head = f"GET http://api.example.test:{origin.port}/{'x' * 8_000} HTTP/1.1\r\nHost: api.example.test:{origin.port}"
    for _ in range(180):
        wire.send(f"{head}\r\nProxy-Authorization: Bearer {token}\r\n\r\n".encode())
        assert wire.reply().status == 200
    lab.stop()
    files = sorted(lab.state.glob("egress.jsonl*"))
    assert [file.name for file in files] == ["egress.jsonl", "egress.jsonl.1", "egress.jsonl.lock"]
    assert all(file.stat().st_size <= 1 << 20 for file in files)
    assert all(read_event(line) for file in files for line in file.read_bytes().splitlines())


def test_metrics_count_by_rule_and_outcome_and_name_nothing_a_program_chose(recorded) -> None:
    lab, origin, token = recorded
    assert ask(lab, origin, token) == 200
    for number in range(20):
        lab.get(f"http://guessed-{number}.example.test/secret-path", token)
    lab.request(
        f"BREW{'X' * 20} http://api.example.test:{origin.port}/ HTTP/1.1\nHost: api.example.test:{origin.port}", token
    )
    lab.stop()
    text = (lab.state / "egress.prom").read_text()
    assert (lab.state / "egress.prom").stat().st_mode & 0o777 == 0o600
    here = 'lockgate_egress_requests_total{code="allowed",decision="allowed",method="GET",rule="here",status="2xx"} 1.0'
    assert here in text
    assert 'code="host",decision="denied",method="GET",rule="",status="4xx"} 20.0' in text
    assert 'method="other"' in text
    assert 'lockgate_egress_bytes_total{direction="in",rule="here"} 10.0' in text
    for chosen in ("guessed", "secret-path", "BREW", token, "ex-1", "tester"):
        assert chosen not in text


def test_rules_beyond_the_bound_share_a_series() -> None:
    metrics = Metrics(None)
    for number in range(1_010):
        metrics.count({**RECORD, "rule": f"rule-{number}"})
    text = metrics.text().decode()
    assert 'rule="rule-999"' in text
    assert 'rule="rule-1000"' not in text
    assert 'method="GET",rule="other",status="2xx"} 10.0' in text


def test_several_processes_are_summed_up_and_the_worst_health_counts(tmp_path: Path) -> None:
    for name, healthy, count in (("egress.prom", True, 2), ("egress-1.prom", False, 3)):
        metrics = Metrics(str(tmp_path / name))
        for _ in range(count):
            metrics.count(RECORD)
        metrics.write(healthy=healthy)
    text = summed([*tmp_path.glob("*.prom"), tmp_path / "missing.prom"]).decode()
    assert 'method="GET",rule="ledger",status="2xx"} 5.0' in text
    assert 'lockgate_egress_request_seconds_count{decision="allowed"} 5.0' in text
    assert "lockgate_egress_healthy 0.0" in text
    assert text.count("# TYPE lockgate_egress_requests_total counter") == 1
