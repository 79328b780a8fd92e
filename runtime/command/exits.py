"""Exit statuses, which tell a script apart what went wrong."""

from enum import IntEnum

from runtime.rpc import runtime_pb2 as pb


class Exit(IntEnum):
    """What the command ended with. 2 is argparse's own."""

    SUCCESS = 0
    PROGRAM_ERROR = 1
    USAGE = 2
    LIMIT = 3
    REFUSED = 4
    INFRASTRUCTURE = 5
    ALLOWS_MORE = 6
    NO_COMMAND = 127
    INTERRUPTED = 130


_BY_STATUS = {
    pb.STATUS_SUCCEEDED: Exit.SUCCESS,
    pb.STATUS_PROGRAM_ERROR: Exit.PROGRAM_ERROR,
    pb.STATUS_CANCELLED: Exit.INTERRUPTED,
    pb.STATUS_TRAPPED: Exit.INFRASTRUCTURE,
    pb.STATUS_LOST: Exit.INFRASTRUCTURE,
    pb.STATUS_IMAGE_RETIRED: Exit.INFRASTRUCTURE,
    pb.STATUS_DIVERGED: Exit.INFRASTRUCTURE,
}


def exit_of(status: int) -> Exit:
    """The exit status for an execution's terminal status; every limit has the same one."""
    return _BY_STATUS.get(status, Exit.LIMIT)  # type: ignore[call-overload, no-any-return]
