"""The command line: `lockgate COMMAND`. Loads little, so that Ctrl-C is heard from the start."""

import sys
from collections.abc import Sequence

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its status."""
    try:
        from runtime.command.line import run_line  # noqa: PLC0415 - takes a second

        status = run_line(arguments)
    except KeyboardInterrupt:
        status = _INTERRUPTED
    sys.exit(status)


if __name__ == "__main__":
    main()
