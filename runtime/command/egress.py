"""`lockgate egress ...`: the egress proxy for an operator's own use, what it recorded, and work on its rules."""

from typing import Any

from runtime.command import egress_ca, egress_diff, egress_explain, egress_learn, egress_log, egress_run


def add_parser(commands: Any) -> None:
    """The group's commands."""
    parser = commands.add_parser("egress", help="the egress proxy: use it, read its record, work on its rules")
    below = parser.add_subparsers(dest="egress_command", required=True, metavar="COMMAND")
    for command in (egress_run, egress_log, egress_explain, egress_learn, egress_diff, egress_ca):
        command.add_parser(below)
