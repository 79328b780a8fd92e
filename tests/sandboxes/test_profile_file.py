"""Profile files: the shipped ones, broken ones with their messages, and directories of them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxes.profile import Profile
from sandboxes.profile_file import SHIPPED, ProfileError, ProfileStore, load_profile, load_profiles, parse_profile

BROKEN = Path(__file__).parent / "testdata" / "broken_profiles"
GOOD = "name: {name}\nversion: 1\nlanguages: [python]\nenvironments: [dev]\n"


def write(directory: Path, file: str, name: str) -> Path:
    path = directory / file
    path.write_text(GOOD.format(name=name))
    return path


@pytest.mark.parametrize("path", sorted(BROKEN.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_broken_profile_says_where_and_what(path: Path) -> None:
    with pytest.raises(ProfileError) as caught:
        parse_profile(path.read_bytes(), path.name)
    assert str(caught.value) + "\n" == path.with_suffix(".expected").read_text(encoding="utf-8")


def test_the_error_of_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nnmae: 1\n")
    with pytest.raises(ProfileError) as caught:
        load_profile(path)
    assert f"{path}:2:1: nmae: unknown key" in str(caught.value)


def test_the_shipped_profiles_load() -> None:
    assert set(load_profiles().profiles) == {"catalog", "untrusted", "standard", "trusted"}


def test_profiles_of_a_directory_join_the_shipped_ones(tmp_path: Path) -> None:
    path = write(tmp_path, "mine.yml", "mine")
    (tmp_path / "notes.txt").write_text("not a profile")
    store = load_profiles([tmp_path])
    assert store.get("mine").name == "mine"
    assert store.files["mine"] == path
    assert "standard" in store.profiles


def test_a_directory_named_twice_is_read_once(tmp_path: Path) -> None:
    write(tmp_path, "mine.yaml", "mine")
    assert set(load_profiles([tmp_path, tmp_path / "."], shipped=False).profiles) == {"mine"}


def test_two_profiles_of_one_name_are_refused(tmp_path: Path) -> None:
    first, second = write(tmp_path, "a.yaml", "mine"), write(tmp_path, "b.yaml", "mine")
    with pytest.raises(ProfileError) as caught:
        load_profiles([tmp_path])
    assert str(caught.value) == f'{second}:1:7: name: profile "mine" is already declared in {first}'


def test_a_profile_cannot_take_the_place_of_a_shipped_one(tmp_path: Path) -> None:
    write(tmp_path, "untrusted.yaml", "untrusted")
    with pytest.raises(ProfileError, match='profile "untrusted" is already declared in'):
        load_profiles([tmp_path])


def test_the_problems_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("")
    (tmp_path / "b.yaml").write_text("[]")
    with pytest.raises(ProfileError) as caught:
        load_profiles([tmp_path, tmp_path / "absent"])
    assert [problem.message for problem in caught.value.problems] == [
        "is not a directory",
        "the file is empty",
        "expected a mapping of keys to values, not a list",
    ]


def test_an_unknown_profile_names_the_nearest() -> None:
    with pytest.raises(LookupError, match='no profile "standart"; did you mean "standard"'):
        load_profiles().get("standart")
    with pytest.raises(LookupError, match="profiles: none"):
        ProfileStore().get("x")


def test_a_store_cannot_be_changed() -> None:
    store = load_profiles()
    with pytest.raises(TypeError):
        store.profiles["new"] = store.get("trusted")  # type: ignore[index]


@given(st.binary(max_size=300))
def test_any_bytes_give_a_profile_or_a_profile_error(data: bytes) -> None:
    try:
        assert isinstance(parse_profile(data, "x"), Profile)
    except ProfileError as error:
        assert error.problems


LINES = sorted({line for path in SHIPPED.glob("*.yaml") for line in path.read_text().splitlines() if line.strip()})


@given(st.lists(st.sampled_from(LINES) | st.text(max_size=12), max_size=30).map("\n".join))
def test_any_mix_of_real_lines_gives_a_profile_or_a_profile_error(text: str) -> None:
    try:
        assert isinstance(parse_profile(text.encode(errors="surrogatepass"), "x"), Profile)
    except ProfileError as error:
        assert error.problems
