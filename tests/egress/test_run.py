"""`lockgate egress run`: a foreign program reaches through the proxy what the profile allows, and nothing else."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.egress import attempts
from tests.egress.lab import events_in
from tests.egress.origin import Origin, answer

ATTEMPTS = attempts.__file__
SECRET = "a-secret-of-the-proxy"
# A machine without namespaces: none may be made inside this one.
NO_NAMESPACES = ["unshare", "-Ur", "sh", "-c", 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"', "sh"]


@dataclass
class Site:
    """A directory with a lockgate.yaml, and the origins its profile allows."""

    directory: Path
    plain: Origin
    secure: Origin

    def command(self, *command: str, options: tuple[str, ...] = ()) -> list[str]:
        run = [sys.executable, "-m", "runtime.cli", "egress", "run", "--profile", "foreign", *options]
        return [*run, "--config", str(self.directory / "lockgate.yaml"), "--", *command]

    def environment(self) -> dict[str, str]:
        given = {"LOCKGATE_HOME": str(self.directory / "home"), "ORIGIN_TOKEN": SECRET, "LOCKGATE_TOKEN": "lg_x"}
        return {**os.environ, **given, "HTTPS_PROXY": "http://elsewhere.test:1", "NO_PROXY": "*"}

    def run(self, *command: str, options: tuple[str, ...] = (), prefix: tuple[str, ...] = ()) -> Any:
        full = [*prefix, *self.command(*command, options=options)]
        return subprocess.run(full, check=False, capture_output=True, env=self.environment(), timeout=60, text=True)

    def attempt(self, *attempt: str, options: tuple[str, ...] = ()) -> Any:
        return self.attempts([attempt], options=options)[0]

    def attempts(self, tried: list[tuple[str, ...]], options: tuple[str, ...] = ()) -> list[Any]:
        done = self.run(sys.executable, ATTEMPTS, json.dumps(tried), options=options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @property
    def http(self) -> str:
        return f"http://origin.internal:{self.plain.port}"

    @property
    def https(self) -> str:
        return f"https://origin.internal:{self.secure.port}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, authority) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    plain = Origin(lambda request: answer(f"plain {request.header('authorization')}".encode()))
    secure = Origin(lambda request: answer(f"secure {request.header('authorization')}".encode()),
                    authority.server("origin.internal"))  # fmt: skip
    rule = {"hosts": ["origin.internal"], "networks": ["127.0.0.1/32"], "paths": ["/**"]}
    rules = [
        {**rule, "name": "plain", "ports": [plain.port], "schemes": ["http"]},
        {**rule, "name": "secure", "ports": [secure.port], "inject": {"secret": "origin-token", "as": "bearer"}},
    ]
    profile = {
        "name": "foreign", "version": 1, "languages": ["python"], "environments": ["dev"], "egress": {"rules": rules},
    }  # fmt: skip
    config = {
        "profiles": ["profiles"],
        "hosts": {"origin.internal": "127.0.0.1"},
        "secrets": {"origin-token": {"env": "ORIGIN_TOKEN"}},
        "extra_ca_file": str(authority.file),
    }
    (directory / "profiles").mkdir()
    (directory / "profiles" / "foreign.yaml").write_text(yaml.safe_dump(profile))
    (directory / "lockgate.yaml").write_text(yaml.safe_dump(config))
    yield Site(directory, plain, secure)
    plain.close()
    secure.close()


@pytest.fixture(scope="module")
def isolated(site: Site) -> None:
    """Skips where this machine allows no namespaces."""
    if site.run("true", options=("--isolate=require",)).returncode:
        pytest.skip("no network namespace is to be had on this machine")


def test_an_allowed_origin_is_reached_with_the_credential_that_the_child_never_sees(site: Site, isolated: None) -> None:
    todo = [("fetch", f"{site.http}/"), ("fetch", f"{site.https}/a"), ("environment",)]
    plain, (status, body), seen = site.attempts(todo)
    assert plain == [200, "plain None"]
    assert (status, body) == (200, "secure Bearer [redacted:origin-token]")
    assert site.secure.received[-1].header("authorization") == f"Bearer {SECRET}"
    assert SECRET not in seen.values()
    assert "LOCKGATE_TOKEN" not in seen
    assert seen["HTTPS_PROXY"] == "http://127.0.0.1:3128"
    assert seen["NO_PROXY"] == ""


def test_its_requests_are_recorded_under_one_execution(site: Site, isolated: None) -> None:
    site.attempt("fetch", f"{site.http}/recorded")
    record = next(r for r in events_in(site.directory / "home" / "egress.jsonl") if r["path"] == "/recorded")
    assert record["execution"].startswith("run:")
    assert record["actor"].startswith("cli:")
    assert (record["allowed"], record["rule"], record["environment"]) == (True, "plain", "dev")


def test_anything_else_is_refused_with_a_reason(site: Site, isolated: None) -> None:
    urls = ["http://elsewhere.test/", "http://127.0.0.1/", "http://169.254.169.254/latest"]
    for status, body in site.attempts([("fetch", url) for url in urls]):
        assert (status, json.loads(body)["error"]) == (403, "egress_denied")


ATTACKS = {
    "an origin directly": ("connect", "127.0.0.1", "{plain}"),
    "the proxy's process by its port": ("connect", "127.0.0.1", "{secure}"),
    "a public address": ("connect", "93.184.215.14", "443"),
    "an IPv6 address": ("connect", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "443"),
    "cloud metadata": ("connect", "169.254.169.254", "80"),
    "DNS over UDP": ("datagram", "9.9.9.9", "53"),
    "an abstract UNIX socket": ("abstract", "{abstract}"),
    "the namespace of a process outside": ("back", "{outside}"),
    "tracing a process outside": ("trace", "{outside}"),
    "the memory of a process outside": ("memory", "{outside}"),
}


@pytest.fixture(scope="module")
def tried(site: Site, isolated: None) -> dict[str, Any]:
    """What came of all attacks, tried by one child."""
    name = f"lockgate-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listening, subprocess.Popen(["sleep", "60"]) as outside:
        listening.bind(f"\0{name}")
        listening.listen()
        places = {"plain": site.plain.port, "secure": site.secure.port, "abstract": name, "outside": outside.pid}
        attacks = [tuple(part.format(**places) for part in attack) for attack in ATTACKS.values()]
        found = site.attempts(attacks)
        outside.kill()
    return dict(zip(ATTACKS, found, strict=True))


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_enclosed_child_has_no_other_way_out(site: Site, tried: dict[str, Any], attack: str) -> None:
    assert set(tried[attack]) == {"error", "errno"}, tried[attack]
    assert (site.plain.connections, site.secure.connections) == (len(site.plain.received), len(site.secure.received))


def _tracing_is_free() -> bool:
    yama = Path("/proc/sys/kernel/yama/ptrace_scope")
    return not yama.exists() or yama.read_text().strip() == "0"


def test_the_same_attempts_succeed_outside(site: Site) -> None:
    """So that the test above can fail: what is tried there works where nothing is in its way."""
    with subprocess.Popen(["sleep", "60"]) as outside:
        pid = str(outside.pid)
        todo = json.dumps([("connect", "127.0.0.1", str(site.plain.port)), ("memory", pid), ("trace", pid)])
        done = subprocess.run([sys.executable, ATTEMPTS, todo], check=True, capture_output=True, timeout=20)
        connected, *others = json.loads(done.stdout)
        assert connected == "connected"
        if _tracing_is_free():
            assert others == ["opened", "attached"]
        outside.kill()


def test_it_has_no_capabilities_no_way_to_new_ones_and_no_descriptor_of_ours(site: Site, isolated: None) -> None:
    status, interfaces, descriptors = site.attempts([("status",), ("interfaces",), ("descriptors",)])
    assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"
    assert interfaces == ["lo"]
    assert not [name for name in descriptors if name.startswith("socket:")]


def test_signals_that_python_ignores_are_not_ignored_by_the_command(site: Site, isolated: None) -> None:
    done = site.run("sh", "-c", "grep SigIgn /proc/self/status")
    ignored = int(done.stdout.split()[1], 16)
    assert not ignored & (1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1))


CLIENTS = {
    "curl": ["curl", "-sS", "--max-time", "15", "{url}"],
    "node": ["node", "-e", "fetch('{url}').then((r) => r.text()).then((t) => process.stdout.write(t))"],
    "python": [sys.executable, "-c", "import urllib.request as u; print(u.urlopen('{url}').read().decode(), end='')"],
}


def _node_knows_proxies() -> bool:
    said = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout
    return int(said.removeprefix("v").partition(".")[0]) >= 24


@pytest.mark.parametrize("client", CLIENTS)
def test_clients_find_the_proxy_and_trust_it(site: Site, isolated: None, client: str) -> None:
    command = CLIENTS[client]
    if shutil.which(command[0]) is None or (client == "node" and not _node_knows_proxies()):
        pytest.skip(f"there is no {client} on this machine that goes by the environment")
    done = site.run(*(part.format(url=f"{site.https}/{client}") for part in command))
    assert (done.returncode, done.stdout) == (0, "secure Bearer [redacted:origin-token]"), done.stderr


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -KILL $$"], 128 + signal.SIGKILL),
        (["no-such-command-here"], 127),
        (["true"], 0),
    ],
)
def test_the_exit_status_is_the_commands(site: Site, command: list[str], status: int) -> None:
    assert site.run(*command).returncode == status


def test_signals_are_passed_on(site: Site) -> None:
    script = "trap 'echo heard; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    with subprocess.Popen(
        site.command("sh", "-c", script), stdout=subprocess.PIPE, env=site.environment(), text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.stdout.readline() == "heard\n"
        assert process.wait(20) == 3


def test_a_command_does_not_outlive_a_run_that_is_killed(site: Site) -> None:
    with subprocess.Popen(
        site.command("sh", "-c", "echo ready; exec sleep 600"),
        stdout=subprocess.PIPE,
        env=site.environment(),
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.kill()
        process.wait(20)
        assert process.stdout.read() == ""  # the end of the pipe: whoever held it is gone


def test_without_namespaces_require_refuses_and_prefer_warns(site: Site, isolated: None) -> None:
    required = site.run("true", options=("--isolate=require",), prefix=tuple(NO_NAMESPACES))
    assert required.returncode == 5
    assert "--isolate=require, and there is no network namespace" in required.stderr
    preferred = site.run(
        sys.executable, ATTEMPTS, json.dumps([("fetch", f"{site.http}/")]), prefix=tuple(NO_NAMESPACES)
    )
    assert json.loads(preferred.stdout) == [[200, "plain None"]], preferred.stderr
    assert "warning: there is no network namespace" in preferred.stderr


def test_without_isolation_the_relay_wants_a_password(site: Site) -> None:
    script = (
        "import os, urllib.request as u, urllib.parse as p; own = os.environ['http_proxy']; at = p.urlsplit(own)\n"
        "for proxy in (own, f'http://{at.hostname}:{at.port}', f'http://lockgate:wrong@{at.hostname}:{at.port}'):\n"
        f"    try: print(u.build_opener(u.ProxyHandler({{'http': proxy}})).open('{site.http}/').status)\n"
        "    except OSError as error: print(error.code)\n"
    )
    done = site.run(sys.executable, "-c", script, options=("--isolate=no",))
    assert done.stdout.split() == ["200", "407", "407"], done.stderr
    assert "warning" not in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--profile", "nobody"), 'there is no profile "nobody"'),
        (("--environment", "prod"), "environments"),
        (("--ttl", "0"), "not a number of seconds"),
        (("--ttl", "1e3"), "not a number of seconds"),
    ],
)
def test_what_cannot_be_run_is_told(site: Site, options: tuple[str, ...], said: str) -> None:
    done = site.run("true", options=options)
    assert done.returncode in {2, 4}
    assert said in done.stderr
