"""The limits of the current run that the guest itself keeps."""


class Limits:
    """Bytes, all of them; set from the request when a run begins."""

    __slots__ = ("max_call_bytes", "max_log_line_bytes", "max_result_bytes")

    def __init__(self) -> None:
        self.reset({})

    def reset(self, request: dict) -> None:
        """Take a request's limits; what is missing gets the default."""
        self.max_call_bytes = request.get("max_call_bytes") or 1 << 20
        self.max_log_line_bytes = request.get("max_log_line_bytes") or 16 << 10
        self.max_result_bytes = request.get("max_result_bytes") or 4 << 20


limits = Limits()
