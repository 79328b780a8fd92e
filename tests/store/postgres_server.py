"""A real PostgreSQL for tests: from Debian's packages, on a loopback port, in a directory of its own.

Where it is not installed, Debian's packages are downloaded by apt-get and unpacked below build/, root or not; nothing
is installed. Versions and hashes are those of the package lists that the machine trusts. PostgreSQL does not run as
root, so as root it runs as nobody.
"""

import contextlib
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pg8000 import native
from pydantic import SecretStr

from runtime.store.postgres import Login, PostgresDatabase

_UNPACKED = Path(__file__).parents[2] / "build" / "postgresql"
_USER, _GROUP = "nobody", "nogroup"
_ROOM = 512 << 20
_START_S = 60
_INSTALL_S = 600


class NoPostgresError(RuntimeError):
    """There is none, and it could not be installed."""


@dataclass(slots=True)
class PostgresServer:
    """Started and stopped as often as a test likes; what was committed stays.

    Nothing is synced unless told so: no test cuts the machine's power.
    """

    bin: Path
    directory: Path
    environment: Mapping[str, str]
    port: int
    synced: bool = False
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)

    def initialise(self) -> None:
        """A cluster in the directory."""
        secret = self.directory / "password"
        secret.write_text(self.password)
        data = self.directory / "data"
        arguments = ["-D", str(data), "-U", "lockgate", "-A", "scram-sha-256", "--pwfile", str(secret), "--no-sync"]
        self._run("initdb", *arguments, "-E", "UTF8", "--locale=C.UTF-8")

    def start(self) -> None:
        """Listening when it returns."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.directory}"
        if not self.synced:
            options += " -c fsync=off -c full_page_writes=off"
        log = str(self.directory / "log")
        self._run("pg_ctl", "-D", str(self.directory / "data"), "-w", "-l", log, "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """`mode` "immediate" is a crash: without a checkpoint."""
        self._run("pg_ctl", "-D", str(self.directory / "data"), "-w", "-m", mode, "stop")

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """It ends, and its directory is emptied, with this: also if this process is killed."""
        stop = f'"{self.bin / "pg_ctl"}" -D data -m immediate stop; rm -rf data'
        with subprocess.Popen(
            [*_drop(), "/bin/sh", "-c", f"cat; {stop}"],
            env=dict(self.environment),
            cwd=self.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ):
            yield

    def speak_tls(self, pem: bytes) -> None:
        """From now on, to those who want it, with the key and certificate in `pem`."""
        for place in (self.directory / "key.pem", self.directory / "certificate.pem"):
            place.touch(mode=0o600)
            place.write_bytes(pem)
            if os.geteuid() == 0:
                shutil.chown(place, _USER, _GROUP)
        self.command(f"ALTER SYSTEM SET ssl_key_file = '{self.directory / 'key.pem'}'")
        self.command(f"ALTER SYSTEM SET ssl_cert_file = '{self.directory / 'certificate.pem'}'")
        self._reload("on")

    def speak_no_tls(self) -> None:
        """As at the beginning."""
        self._reload("off")

    def _reload(self, tls: str) -> None:
        self.command(f"ALTER SYSTEM SET ssl = {tls}")
        self.stop()
        self.start()

    def login(self, database: str, **changed: Any) -> Login:
        fields: dict[str, Any] = {"host": "127.0.0.1", "port": self.port, "tls": False}
        return Login(user="lockgate", database=database, password=SecretStr(self.password), **fields | changed)

    def new_database(self, name: str = "") -> str:
        """The name of a new, empty database."""
        name = name or f"test_{secrets.token_hex(8)}"
        self.command(f"CREATE DATABASE {name}")
        return name

    def drop_database(self, name: str) -> None:
        self.command(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def command(self, text: str, database: str = "postgres") -> list[list[Any]]:
        """Run one statement as the superuser; its rows."""
        with contextlib.closing(native.Connection(**self.login(database).arguments())) as connection:
            return connection.run(text) or []

    def database(self, name: str) -> PostgresDatabase:
        return PostgresDatabase(self.login(name))

    def _run(self, program: str, *arguments: str) -> None:
        output = self.directory / "output"
        with output.open("ab") as file:  # a pipe would stay open as long as the server
            ran = subprocess.run(
                [*_drop(), str(self.bin / program), *arguments],
                env=dict(self.environment),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=_START_S,
                check=False,
            )
        if ran.returncode:
            said = output.read_text()[-2_000:]
            raise RuntimeError(f"{program} ended with {ran.returncode}: {said}")


@contextlib.contextmanager
def running_postgres(*, synced: bool = False) -> Iterator[PostgresServer]:
    """A server with an empty cluster, ended and removed afterwards. Raises NoPostgresError."""
    programs, environment = _installed()
    with tempfile.TemporaryDirectory(prefix="lockgate-postgres-", dir=None if synced else _memory()) as name:
        directory = Path(name)
        if os.geteuid() == 0:
            shutil.chown(directory, _USER, _GROUP)
        server = PostgresServer(programs, directory, environment, _free_port(), synced)
        server.initialise()
        with server.watched():
            server.start()
            yield server


def _memory() -> str | None:
    """A file system in memory with room enough, where making and removing databases costs no disk."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() and shutil.disk_usage(shared).free > _ROOM else None


def _drop() -> list[str]:
    """By a command: with other ids, Python forks, and a process with gRPC in it does not survive that."""
    if os.geteuid():
        return []
    return ["setpriv", f"--reuid={_USER}", f"--regid={_GROUP}", "--clear-groups"]


def _installed() -> tuple[Path, Mapping[str, str]]:
    """The directory of the programs, and the environment to run them in."""
    plain = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    if (programs := _programs(Path("/"))) is not None:
        return programs, plain
    root = _unpacked()
    programs = _programs(root)
    if programs is None:
        raise NoPostgresError(f"Debian's PostgreSQL was unpacked to {root} and has no initdb")
    libraries = sorted({str(found.parent) for found in root.glob("usr/lib/**/*.so.*")})
    return programs, plain | {"LD_LIBRARY_PATH": ":".join(libraries)}


def _programs(root: Path) -> Path | None:
    """The newest there is; what is on PATH may be a wrapper of another version's."""
    found = sorted(root.glob("usr/lib/postgresql/*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb") if root == Path("/") else None
    return Path(on_path).resolve().parent if on_path else None


def _unpacked() -> Path:
    """All that the package needs and the machine does not have, below build/; nothing is installed."""
    if _programs(_UNPACKED) is not None:
        return _UNPACKED
    draft = _UNPACKED.with_name(f".postgresql.{secrets.token_hex(4)}")
    packages, lists, cache = draft / "packages", draft / "lists", draft / "cache"
    for directory in (packages, lists / "partial", cache / "archives" / "partial"):
        directory.mkdir(parents=True)
    places = {"Dir::State::lists": lists, "Dir::Cache": cache, "Debug::NoLocking": 1, "APT::Sandbox::User": "root"}
    options = [part for name, value in places.items() for part in ("-o", f"{name}={value}")]
    apt_get = ["apt-get", "-q", *options]
    _run_apt(*apt_get, "update")
    found = re.search(r"Depends: (postgresql-[0-9]+)", _run_apt("apt-cache", *options, "depends", "postgresql"))
    if found is None:
        raise NoPostgresError("Debian's package postgresql does not say which version it is; install PostgreSQL")
    simulated = _run_apt(*apt_get, "install", "--simulate", "--no-install-recommends", found[1])
    wanted = [line.split()[1] for line in simulated.splitlines() if line.startswith("Inst ")]
    _run_apt(*apt_get, "download", *wanted, cwd=packages)
    for package in sorted(packages.glob("*.deb")):
        _run_apt("dpkg", "-x", str(package), str(draft))
    for directory in (packages, lists, cache):
        shutil.rmtree(directory)
    with contextlib.suppress(OSError):  # another run was faster
        draft.rename(_UNPACKED)
    shutil.rmtree(draft, ignore_errors=True)
    return _UNPACKED


def _run_apt(*command: str, cwd: Path | None = None) -> str:
    environment = dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        ran = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=_INSTALL_S, check=False
        )
    except OSError as error:
        raise NoPostgresError(f"there is no PostgreSQL, and {command[0]} cannot be run: {error}") from error
    if ran.returncode:
        said = (ran.stdout + ran.stderr)[-2_000:]
        raise NoPostgresError(f"there is no PostgreSQL, and `{' '.join(command)}` failed; install one.\n{said}")
    return ran.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
