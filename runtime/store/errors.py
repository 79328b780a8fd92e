"""What can go wrong with a store."""


class StoreError(RuntimeError):
    """A store that did not do what was asked; the text says why."""


class StoreUnavailableError(StoreError):
    """Full, locked, slow, gone or misused. Nothing of the write was made unless `maybe`: then it is not known."""

    def __init__(self, message: str, *, maybe: bool = False) -> None:
        super().__init__(message)
        self.maybe = maybe


class StoreConflictError(StoreError):
    """The store is otherwise than a change says; nothing of its write was made. `change` is the change's name."""

    def __init__(self, message: str, *, change: str = "") -> None:
        super().__init__(message)
        self.change = change


class StoreQuotaError(StoreError):
    """A quota would be exceeded; nothing of the write was made. `quota` and `value` (bytes) name it."""

    def __init__(self, message: str, *, quota: str, value: int) -> None:
        super().__init__(message)
        self.quota = quota
        self.value = value


class StoreVersionError(StoreError):
    """The schema is not the one this version of Lockgate uses; the text says what to do."""
