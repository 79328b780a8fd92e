"""The state directory and the token in it: made once, closed to others, refused when open."""

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandboxes.state import StateDirectory, StateError, open_state, read_token, state_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_lockgate_home_comes_first(tmp_path: Path) -> None:
    assert state_path({"LOCKGATE_HOME": str(tmp_path), "XDG_STATE_HOME": "/var/state"}) == tmp_path


def test_then_the_state_directory_of_the_desktop() -> None:
    assert state_path({"XDG_STATE_HOME": "/var/state"}) == Path("/var/state/lockgate")


@pytest.mark.parametrize("environ", [{}, {"LOCKGATE_HOME": "", "XDG_STATE_HOME": ""}, {"XDG_STATE_HOME": "relative"}])
def test_then_the_one_of_the_user(environ: dict[str, str]) -> None:
    assert state_path(environ) == Path.home() / ".local/state/lockgate"


def test_a_relative_home_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert state_path({"LOCKGATE_HOME": "state"}) == tmp_path / "state"


def test_the_directory_is_made_for_its_user_only(tmp_path: Path) -> None:
    state = open_state(tmp_path / "a" / "b")
    assert mode(state.path) == 0o700


def test_an_empty_open_directory_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert mode(open_state(tmp_path).path) == 0o700


def test_an_open_directory_with_content_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    tmp_path.chmod(0o755)
    with pytest.raises(StateError, match=r"open to others \(mode 0755\); chmod 700 it"):
        open_state(tmp_path)
    assert mode(tmp_path) == 0o755


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(StateError, match="cannot be used: File exists; set LOCKGATE_HOME"):
        open_state(tmp_path / "state")


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return open_state(tmp_path / "state")


def test_the_token_is_made_at_first_and_kept(state: StateDirectory) -> None:
    token = state.token()
    assert state.token() == token
    assert mode(state.token_file) == 0o600
    secret = token.get_secret_value()
    assert secret.startswith("lg_")
    assert len(base64.urlsafe_b64decode(secret.removeprefix("lg_") + "=")) == 32


def test_the_token_is_not_printed_by_accident(state: StateDirectory) -> None:
    token = state.token()
    assert token.get_secret_value() not in f"{token} {token!r}"


def test_tokens_of_two_directories_differ(tmp_path: Path) -> None:
    first, second = (open_state(tmp_path / name).token().get_secret_value() for name in "ab")
    assert first != second


def test_many_at_once_agree_on_one_token(state: StateDirectory) -> None:
    with ThreadPoolExecutor(8) as pool:
        tokens = {token.get_secret_value() for token in pool.map(lambda _: state.token(), range(32))}
    assert len(tokens) == 1
    assert [path.name for path in state.path.iterdir()] == ["token"]


def test_a_token_open_to_others_is_refused(state: StateDirectory) -> None:
    state.token()
    state.token_file.chmod(0o644)
    with pytest.raises(StateError, match=r"open to others \(mode 0644\)"):
        state.token()


@pytest.mark.parametrize(
    "content", [b"", b"lg_short", b"\xff\xfe", b"x" * 5000], ids=["empty", "short", "bytes", "long"]
)
def test_what_is_no_token_is_refused(state: StateDirectory, content: bytes) -> None:
    state.token_file.write_bytes(content)
    state.token_file.chmod(0o600)
    with pytest.raises(StateError, match="token"):
        read_token(state.token_file)
