"""What each process of a cell is told of the store."""

import json
from pathlib import Path

import pytest

from runtime.service.cell import Cell, CellOptions
from runtime.service.settings import GatewaySettings
from runtime.store.errors import StoreError
from sandboxes.state import open_state


def cell(directory: Path, store: str) -> Cell:
    (directory / "lockgate.yaml").write_text(f"store: {store}\n")
    options = CellOptions(state=open_state(directory / "state"), config_file=directory / "lockgate.yaml", any_port=True)
    return Cell(options)


def test_the_password_goes_to_the_gateway_and_to_no_other_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE_PASSWORD", "correct horse")
    url = "postgresql://lockgate@127.0.0.1:6543/lockgate"
    made = cell(tmp_path, f"{{kind: postgres, url: '{url}', password: {{env: STORE_PASSWORD}}}}")
    told = made._gateway_settings()
    settings = GatewaySettings.model_validate_json(told)
    assert settings.store_password == "correct horse"
    assert told.count("correct horse") == 1
    assert "correct horse" not in repr(settings)
    assert "correct horse" not in made._egress_settings()
    assert "STORE_PASSWORD" not in made._gateway._env


def test_no_program_reaches_the_store_s_port_through_the_egress_proxy(tmp_path: Path) -> None:
    made = cell(tmp_path, "{kind: postgres, url: 'postgresql://lockgate@127.0.0.1:6543/lockgate'}")
    assert 6543 in json.loads(made._egress_settings())["own_ports"]


def test_without_a_store_in_the_configuration_it_is_a_file_in_the_state_directory(tmp_path: Path) -> None:
    made = cell(tmp_path, "{quotas: {bytes: 1GiB}}")
    settings = GatewaySettings.model_validate_json(made._gateway_settings())
    assert settings.config.store.kind == "sqlite"
    assert settings.config.store.quotas.bytes == 1 << 30
    assert settings.store_password == ""


def test_a_password_that_is_missing_stops_the_start(tmp_path: Path) -> None:
    url = "postgresql://lockgate@127.0.0.1:6543/lockgate"
    made = cell(tmp_path, f"{{kind: postgres, url: '{url}', password: {{file: missing}}}}")
    with pytest.raises(StoreError, match=r"store\.password: the file .*/missing cannot be read"):
        made._gateway_settings()
