"""Where a caller says its program acts."""

from typing import Literal, get_args

Environment = Literal["dev", "stage", "prod"]
ENVIRONMENTS: tuple[Environment, ...] = get_args(Environment)
