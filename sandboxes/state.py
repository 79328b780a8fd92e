"""The state directory: what one Lockgate keeps on this machine, readable by its user only."""

import base64
import os
import re
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import SecretStr

from sandboxes.webhook_signature import KEY_BYTES, key_of
from sandboxes.webhook_signature import PREFIX as KEY_PREFIX

TOKEN_PREFIX: Final = "lg_"  # noqa: S105 - what lets scanners find a leaked token, not a token
TOKEN_BYTES: Final = 32
_TOKEN = re.compile(r"lg_[A-Za-z0-9_-]{43}")
_DIRECTORY_MODE = 0o700
_FILE_MODE = 0o600
_OTHERS = 0o077


class StateError(RuntimeError):
    """A state directory that cannot be used; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StateDirectory:
    """The places below the state directory. Only `open_state` makes one, so that it exists with mode 0700."""

    path: Path

    @property
    def token_file(self) -> Path:
        """The bearer token of the API, mode 0600."""
        return self.path / "token"

    @property
    def ca(self) -> Path:
        """The egress proxy's certificate authority; made by the proxy."""
        return self.path / "ca"

    @property
    def ca_file(self) -> Path:
        """The authority's certificate, without its key."""
        return self.ca / "lockgate-ca-cert.pem"

    @property
    def event_file(self) -> Path:
        """One JSON line per request that met the egress proxy; older ones in `.1` and so on."""
        return self.path / "egress.jsonl"

    @property
    def metrics_file(self) -> Path:
        """What the egress proxy counted, as Prometheus text."""
        return self.path / "egress.prom"

    @property
    def status_file(self) -> Path:
        """Which generation of the configuration is in force, written by the running service."""
        return self.path / "configuration.json"

    @property
    def store_file(self) -> Path:
        """Durable records, where the configuration names no other place for them."""
        return self.path / "store.sqlite"

    @property
    def images(self) -> Path:
        """Compiled guest images."""
        return self.path / "images"

    @property
    def kept_images(self) -> Path:
        """Guest images, as Wasm, that records in the store refer to."""
        return self.path / "kept-images"

    @property
    def documents(self) -> Path:
        """API documents as they were after reading; only a cache."""
        return self.path / "documents"

    @property
    def tools(self) -> Path:
        """Tools of MCP upstreams as the operator accepted them, a file for each upstream."""
        return self.path / "tools"

    def signing_key(self, direction: Literal["webhook", "callback"]) -> bytes:
        """The key that signs webhooks or callbacks, in a file `DIRECTION.key`, made at the first call. StateError."""
        path = self.path / f"{direction}.key"
        if not path.exists():
            _create_once(path, KEY_PREFIX + base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode())
        try:
            return key_of(_kept_text(path, f"{direction} key"))
        except ValueError as error:
            raise StateError(f"the key file {path} is not one ({error}); remove it and a new one is made") from None

    def token(self) -> SecretStr:
        """The API's token, made at the first call: `lg_` and 32 random bytes in base64url. Raises StateError."""
        if not self.token_file.exists():
            _create_once(self.token_file, TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES))
        return read_token(self.token_file)


def state_path(environ: Mapping[str, str]) -> Path:
    """`$LOCKGATE_HOME`, else `lockgate` under `$XDG_STATE_HOME`, else under `~/.local/state`.

    A relative `$XDG_STATE_HOME` is passed over, as the XDG Base Directory Specification wants.
    """
    if home := environ.get("LOCKGATE_HOME"):
        return Path(home).absolute()
    xdg = Path(environ.get("XDG_STATE_HOME", ""))
    return (xdg if xdg.is_absolute() else Path("~/.local/state").expanduser()) / "lockgate"


def open_state(path: Path) -> StateDirectory:
    """The state directory at `path`, made if it is not there. Raises StateError if others could read it."""
    try:
        path.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        _check_directory(path)
    except OSError as error:
        raise StateError(f"the state directory {path} cannot be used: {error.strerror}; set LOCKGATE_HOME") from error
    return StateDirectory(path=path)


def read_token(path: Path) -> SecretStr:
    """The token in the file `path`. Raises StateError if it is missing, open to others or not a token."""
    text = _kept_text(path, "token")
    if _TOKEN.fullmatch(text) is None:
        raise StateError(f"the token file {path} does not hold a token; remove it and a new one is made")
    return SecretStr(text)


def _kept_text(path: Path, what: str) -> str:
    """The short text in a file that only we may read. Raises StateError."""
    try:
        with path.open(encoding="ascii") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(1_000).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StateError(f"the {what} file {path} cannot be read: {error}") from None
    if mode & _OTHERS:
        raise StateError(f"the {what} file {path} is open to others (mode {mode:04o}); chmod 600 it, or remove it")
    return text


def _check_directory(path: Path) -> None:
    """Closes an empty directory of ours; one with content may serve others and is not touched."""
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != os.geteuid():
        raise StateError(f"the state directory {path} belongs to another user; set LOCKGATE_HOME")
    if not mode & _OTHERS:
        return
    if any(path.iterdir()):
        raise StateError(f"the state directory {path} is open to others (mode {mode:04o}); chmod 700 it")
    path.chmod(_DIRECTORY_MODE)


def _create_once(path: Path, text: str) -> None:
    """Whole or not at all, and only by the first of several processes: a link does not replace."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)
    except FileExistsError:
        return
    except OSError as error:
        raise StateError(f"the token file {path} cannot be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
