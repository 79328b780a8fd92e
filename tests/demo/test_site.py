"""The pages that `fetch` is tried on."""

import httpcore2

from tests.demo.conftest import request


def location(url: str) -> tuple[int, str]:
    response = httpcore2.request("GET", url)
    return response.status, dict(response.headers)[b"location"].decode()


def test_pages_and_documents(site_url: str) -> None:
    assert b"<b>1.10</b>" in httpcore2.request("GET", site_url).content
    assert request("GET", f"{site_url}/rates.json")[1]["rates"]["USD"] == 1.1


def test_redirects_here_and_elsewhere(site_url: str) -> None:
    assert location(f"{site_url}/moved") == (302, "/rates.json")
    assert location(f"{site_url}/elsewhere?to=http://10.0.0.1/") == (302, "http://10.0.0.1/")


def test_the_leak_shows_a_credential_and_the_echo_does_not(site_url: str) -> None:
    assert ["authorization", "Bearer x"] in request("GET", f"{site_url}/leak", authorization="Bearer x")[1]["headers"]
    echoed = request("POST", f"{site_url}/echo?a=1", b"body", authorization="Bearer x")[1]
    assert (echoed["method"], echoed["query"], echoed["body"]) == ("POST", "a=1", "body")
    assert "authorization" not in dict(echoed["headers"])


def test_statuses_and_sizes_on_demand(site_url: str) -> None:
    assert request("GET", f"{site_url}/status/503")[0] == 503
    assert len(httpcore2.request("GET", f"{site_url}/large/100000").content) == 100_000
