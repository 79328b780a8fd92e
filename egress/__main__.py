"""`python -m egress`: see `egress.process`."""

from . import lean

lean.install()

from .process import main  # noqa: E402 - after the imports were made lean

if __name__ == "__main__":
    main()
