"""A script tells from the exit status what went wrong: a limit is one just if the status says so."""

import pytest

from runtime.command.exits import Exit, exit_of
from runtime.rpc import runtime_pb2 as pb

UNDER_WAY = {pb.STATUS_UNSPECIFIED, pb.STATUS_QUEUED, pb.STATUS_RUNNING, pb.STATUS_PAUSED}
ENDS = [name for name, number in pb.Status.items() if number not in UNDER_WAY]


@pytest.mark.parametrize("name", ENDS)
def test_only_limits_end_like_limits(name: str):
    assert (exit_of(pb.Status.Value(name)) is Exit.LIMIT) == name.startswith("STATUS_LIMIT_")
