"""Modules that cannot be here: the ImportError says what to use instead."""

import sys

_NETWORK = "use await fetch(...), requests or urllib.request.urlopen"
_THIRD_PARTY = "this image has the standard library and a requests-shaped module"
_here = _THIRD_PARTY

REASONS = {
    "_ssl": f"TLS is done outside the sandbox; {_NETWORK}",
    "_bz2": "use zlib or gzip",
    "_lzma": "use zlib or gzip",
    "_zstd": "use zlib or gzip",
    "_ctypes": "there is no foreign code in a sandbox; use struct or array",
    "_posixsubprocess": "there are no processes in a sandbox",
    "_multiprocessing": "there are no processes in a sandbox; use asyncio.gather for calls in parallel",
    "_posixshmem": "there is no shared memory in a sandbox",
    "ctypes": "there is no foreign code in a sandbox; use struct or array",
    "curses": "there is no terminal in a sandbox; use print",
    "_remote_debugging": "there are no processes in a sandbox",
    "_curses": "there is no terminal in a sandbox; use print",
    "_tkinter": "there is no screen in a sandbox; use print",
    "_dbm": "there are no files in a sandbox; use a dict or sqlite3 with ':memory:'",
    "_gdbm": "there are no files in a sandbox; use a dict or sqlite3 with ':memory:'",
    "_interpreters": "there is one interpreter in a sandbox; use asyncio",
    "_interpqueues": "there is one interpreter in a sandbox; use asyncio",
    "_interpchannels": "there is one interpreter in a sandbox; use asyncio",
    **dict.fromkeys(
        (
            *(
                "concurrent.futures.process",
                "multiprocessing.forkserver",
                "multiprocessing.heap",
                "multiprocessing.pool",
            ),
            *("multiprocessing.popen_fork", "multiprocessing.popen_forkserver", "multiprocessing.popen_spawn_posix"),
            *("multiprocessing.resource_tracker", "multiprocessing.shared_memory", "multiprocessing.sharedctypes"),
            *("multiprocessing.synchronize", "multiprocessing.managers"),
        ),
        "there are no processes in a sandbox; use asyncio.gather for host calls in parallel, or call it directly",
    ),
    "mmap": "there are no files in a sandbox; use bytearray or io.BytesIO",
    "fcntl": "there are no files in a sandbox",
    "termios": "there is no terminal in a sandbox",
    "tty": "there is no terminal in a sandbox",
    "pty": "there is no terminal in a sandbox",
    "resource": "limits are kept outside the sandbox",
    "pwd": "there are no users in a sandbox",
    "grp": "there are no users in a sandbox",
    "syslog": "use logging or print",
    "readline": "there is no terminal in a sandbox",
    "tkinter": "there is no screen in a sandbox; use print",
    "turtle": "there is no screen in a sandbox; use print",
    "idlelib": "there is no screen in a sandbox",
    "turtledemo": "there is no screen in a sandbox",
    "ensurepip": "nothing can be installed in a sandbox",
    "pip": "nothing can be installed in a sandbox",
    "venv": "nothing can be installed in a sandbox",
    "msvcrt": "this is no Windows",
    "winreg": "this is no Windows",
    "winsound": "this is no Windows",
    "tzdata": "this image was built without time zones; use datetime.timezone(datetime.timedelta(hours=...))",
    "aiohttp": f"{_NETWORK}",
    "httpx": f"{_NETWORK}",
    "urllib3": f"{_NETWORK}",
    "websockets": f"there are no sockets in a sandbox; {_NETWORK}",
    "numpy": f"{_THIRD_PARTY}; use lists, statistics, math or array",
    "pandas": f"{_THIRD_PARTY}; use csv, dicts, statistics or sqlite3 with ':memory:'",
    "bs4": f"{_THIRD_PARTY}; use html.parser",
    "lxml": f"{_THIRD_PARTY}; use xml.etree.ElementTree or html.parser",
    "yaml": f"{_THIRD_PARTY}; use json or tomllib",
    "dateutil": f"{_THIRD_PARTY}; use datetime.fromisoformat and zoneinfo",
    "pytz": f"{_THIRD_PARTY}; use zoneinfo",
    "pydantic": f"{_THIRD_PARTY}; use dataclasses",
    "scipy": _THIRD_PARTY,
    "matplotlib": _THIRD_PARTY,
    "PIL": _THIRD_PARTY,
    "boto3": _THIRD_PARTY,
    "openai": _THIRD_PARTY,
}


class Absent:
    """The last finder: explains what none before it has found."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:  # noqa: ARG004 (protocol)
        """Raise for an import of a name with a reason; stay silent when somebody only asks whether it exists."""
        reason = REASONS.get(name)
        # 0 is this function, 1 importlib's _find_spec, 2 the import itself or importlib.util.find_spec.
        if reason is not None and sys._getframe(2).f_code.co_name != "find_spec":  # noqa: SLF001
            raise ModuleNotFoundError(f"No module named {name!r}: {reason.replace(_THIRD_PARTY, _here)}", name=name)


def install() -> None:
    """Put the finder behind every other."""
    global _here  # noqa: PLW0603 (one image)
    if (distributions := sys.modules.get("lockgate.distributions")) is not None:
        _here = f"this image has the standard library, a requests-shaped module and {distributions.described()}"
    sys.meta_path.append(Absent)
