"""Which of several egress processes an execution belongs to, so that its counts are in one place."""

import base64
import binascii
import json
import zlib


def shard_of(execution: str, count: int) -> int:
    """The process of an execution: 0 up to `count` - 1."""
    return zlib.crc32(execution.encode()) % count


def claimed_execution(token: str) -> str:
    """The execution a token names, unverified: good for choosing a process, and for nothing else. Empty if none."""
    payload = token.partition(".")[0]
    try:
        fields = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return ""
    named = fields[2] if isinstance(fields, list) and len(fields) > 2 else ""  # noqa: PLR2004 - version and audience first
    return named if isinstance(named, str) else ""
