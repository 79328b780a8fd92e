"""The proxy's authority: made once, rotated under running clients, tight on disk, bounded."""

import datetime as dt
import ssl
from pathlib import Path

import pytest

from egress.certificate_authority import MOST_EARLIER, RENEW_BEFORE, CertificateAuthority
from runtime.command.line import run_line
from tests.egress.lab import World, start

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture
def made(tmp_path: Path) -> CertificateAuthority:
    authority = CertificateAuthority(tmp_path)
    authority.ensure(NOW)
    return authority


def test_it_is_made_once_and_closed_to_others(made: CertificateAuthority) -> None:
    before = made.fingerprints()
    made.ensure(NOW)
    assert made.fingerprints() == before
    assert len(before) == 2
    modes = {path.stat().st_mode & 0o777 for path in made.directory.rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (made.directory, made.directory / "next")} == {0o700}


def test_the_next_one_is_trusted_before_it_signs(made: CertificateAuthority) -> None:
    present, following = made.fingerprints()
    made.rotate(NOW)
    after = made.fingerprints()
    assert after[0] == following
    assert after[2] == present
    assert len(set(after)) == 3


def test_it_makes_way_before_it_ends(made: CertificateAuthority) -> None:
    following = made.fingerprints()[1]
    ends = made._present().not_valid_after_utc
    made.ensure(ends - RENEW_BEFORE - dt.timedelta(seconds=1))
    assert made.fingerprints()[0] != following
    made.ensure(ends - RENEW_BEFORE + dt.timedelta(seconds=1))
    assert made.fingerprints()[0] == following


def test_what_has_ended_is_trusted_no_more(made: CertificateAuthority) -> None:
    present = made.fingerprints()[0]
    ends = made._present().not_valid_after_utc
    made.rotate(NOW)
    made.ensure(ends + dt.timedelta(seconds=1))
    assert present not in made.fingerprints()


def test_a_leaked_key_is_replaced_and_distrusted(made: CertificateAuthority) -> None:
    before = made.fingerprints()
    made.rotate(NOW, replace=True)
    assert not set(before) & set(made.fingerprints())


def test_earlier_ones_are_bounded(made: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("egress.certificate_authority.KEY_BITS", 1024)
    for _ in range(MOST_EARLIER + 2):
        made.rotate(NOW)
    assert len(made.fingerprints()) == MOST_EARLIER + 2


def test_a_rotation_that_broke_off_is_completed(made: CertificateAuthority) -> None:
    following = made.fingerprints()[1]
    (made.directory / "next" / "lockgate-ca.pem").replace(made.key_file)
    made.ensure(NOW)
    assert made.fingerprints()[0] == following
    assert len(made.fingerprints()) == 2


def test_a_running_client_trusts_what_is_signed_after_a_rotation(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = start(tmp_path, world.open, hosts={"api.example.test": "127.0.0.1"}, extra_ca_file=None)
    trusted_before = ssl.create_default_context(cafile=lab.ready["ca_file"])
    authority = f"api.example.test:{world.plain.port}"

    def issuer() -> str:
        wire = lab.tunnel(authority, lab.token(world.open))
        with trusted_before.wrap_socket(wire.socket, server_hostname="api.example.test") as inner:
            return str(dict(pair for rdn in inner.getpeercert()["issuer"] for pair in rdn)["commonName"])

    first = issuer()
    monkeypatch.setenv("LOCKGATE_HOME", str(tmp_path))
    assert run_line(["egress", "rotate-ca"]) == 0
    assert capsys.readouterr().out.startswith("in force")
    seen = {first}
    for _ in range(1_000):
        seen.add(issuer())
        if len(seen) > 1:
            break
    assert len(seen) == 2
    assert run_line(["egress", "ca"]) == 0
    assert capsys.readouterr().out == Path(lab.ready["ca_file"]).read_text()
    assert lab.stop() == 0
