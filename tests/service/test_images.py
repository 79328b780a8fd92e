"""A profile's image: its programs run on it, replies name its digest, and a service does not start without it."""

import json

import pytest

from runtime.client import Client
from runtime.rpc import runtime_pb2 as pb
from runtime.service import needed_images
from runtime.service.cell import CellOptions
from sandboxes.image_file import SHIPPED, load_images
from sandboxes.images import image_path
from sandboxes.images.build import build_image
from sandboxes.profile import Profile
from tests.cell import open_shared_state, running_cell
from tests.service.programs import run

# The first test to ask for the image builds it, which takes a minute of two cores.
pytestmark = pytest.mark.timeout(600)

PROFILE = "name: {}\nversion: 1\nlanguages: [javascript, python]\nenvironments: [dev]\n"
DECLARED = "name: {}\npackages:\n  - {{name: six, version: '1.17.0', sha256: '" + "0" * 64 + "'}}\n"


def write(directory, profile: str, image: str = "") -> None:
    text = PROFILE.format(profile) + (f"image: {image}\n" if image else "")
    (directory / "profiles" / f"{profile}.yaml").write_text(text)


@pytest.fixture
def place(tmp_path):
    return prepared(tmp_path)


def prepared(directory):
    (directory / "profiles").mkdir()
    (directory / "images").mkdir()
    (directory / "lockgate.yaml").write_text("profiles: [profiles]\nimages: [images]\n")
    return directory


def options(directory) -> CellOptions:
    state = open_shared_state(directory / "state")
    return CellOptions(state=state, config_file=directory / "lockgate.yaml", any_port=True, workers=1)


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    build_image("data-basics")
    directory = prepared(tmp_path_factory.mktemp("images"))
    write(directory, "plain")
    write(directory, "basics", "data-basics")
    (directory / "images" / "unused.yaml").write_text(DECLARED.format("unused"))
    with running_cell(options(directory)) as running:
        yield running


@pytest.fixture
async def client(cell):
    async with Client(cell.grpc_address, cell.token) as client:
        yield client


def recorded(image: str) -> str:
    return "sha256:" + json.loads(image_path(image).with_suffix(".json").read_text())["digest"]


async def test_python_programs_run_on_the_profiles_image(client):
    code = "import yaml, bs4, jinja2\nyaml.safe_load('a: [1, 2]')"
    execution = await run(client, code, "python", profile="basics")
    assert (execution.status, json.loads(execution.result_json)) == (pb.STATUS_SUCCEEDED, {"a": [1, 2]})
    assert execution.image_digest == recorded("data-basics")


async def test_javascript_programs_run_on_their_own(client):
    execution = await run(client, "1 + 1", profile="basics")
    assert execution.status == pb.STATUS_SUCCEEDED
    assert execution.image_digest == recorded("javascript")


async def test_a_profile_that_names_none_has_the_standard_library(client):
    execution = await run(client, "import yaml", "python", profile="plain")
    assert execution.status == pb.STATUS_PROGRAM_ERROR
    assert execution.image_digest == recorded("python")
    message = execution.error.message
    assert message.startswith("No module named 'yaml': this image has the standard library and a requests-shaped")


async def test_limits_hold_on_a_declared_image(client):
    execution = await run(client, "while True: pass", "python", profile="basics", limits={"cpu_ms": 50})
    assert execution.status == pb.STATUS_LIMIT_CPU


def test_a_service_does_not_start_without_an_image_that_a_profile_names(place):
    (place / "images" / "mine.yaml").write_text(DECLARED.format("mine"))
    write(place, "wanting", "mine")
    with pytest.raises(RuntimeError) as caught, running_cell(options(place)):
        pass
    command = f"python -m sandboxes.images.build mine --from {place / 'images'}"
    assert f'profile "wanting": the image "mine" is not built; run: {command}' in str(caught.value)


def profile(**fields) -> Profile:
    start = {"name": "p", "version": 1, "languages": ["python"], "environments": ["dev"]}
    return Profile.model_validate({**start, **fields})


def test_a_name_that_no_image_has():
    (problem,) = needed_images.image_problems(profile(image="data-basic"), load_images())
    assert problem.startswith('profile "p": there is no image "data-basic"; did you mean "data-basics"?')


@pytest.fixture
def record(tmp_path, monkeypatch):
    """Stands for the record of the built image."""
    monkeypatch.setattr(needed_images, "wasm_path", lambda name: tmp_path / f"{name}.wasm")
    digest = load_images().get("data-basics").digest()

    def write_record(**fields) -> None:
        start = {"declaration": digest, "memory_bytes": 40 << 20}
        (tmp_path / "data-basics.json").write_text(json.dumps({**start, **fields}))

    return write_record


def problems(**fields) -> list[str]:
    return list(needed_images.image_problems(profile(image="data-basics", **fields), load_images()))


def test_an_image_older_than_its_declaration(record):
    record()
    assert problems() == []
    record(declaration="0" * 64)
    build = "run: python -m sandboxes.images.build data-basics"
    changed = SHIPPED / "data-basics.yaml"
    assert problems() == [f'profile "p": the image "data-basics" was built before {changed} changed; {build}']


def test_an_image_that_leaves_no_memory(record):
    record(memory_bytes=70 << 20)
    assert problems(limits={"memory_bytes": "128MiB"}) == []
    assert problems() == [
        'profile "p": limits.memory_bytes must be more than the 70.0 MiB that the image "data-basics" begins with'
    ]


def test_a_broken_record_is_an_image_that_is_not_built(record):
    record(memory_bytes=None)
    assert problems() == [
        'profile "p": the image "data-basics" is not built; run: python -m sandboxes.images.build data-basics'
    ]


def test_images_are_loaded_once_and_for_fuel_once_more():
    profiles = [
        profile(),
        profile(image="data-basics"),
        profile(image="data-basics", limits={"fuel": 10**9}),
        profile(image="data-basics", languages=["python", "javascript"]),
    ]
    base = [("javascript", False), ("javascript", True), ("python", False), ("python", True)]
    assert needed_images.wanted_images(profiles) == [*base, ("data-basics", False), ("data-basics", True)]
    assert needed_images.wanted_images(profiles[:1]) == [("javascript", False), ("python", False)]
