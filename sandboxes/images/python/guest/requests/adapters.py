"""There, so that programs that mount adapters run; an adapter changes nothing."""


class BaseAdapter:
    """An adapter."""


class HTTPAdapter(BaseAdapter):
    """An adapter whose settings are accepted and ignored."""

    def __init__(self, *args: object, **options: object) -> None:
        self.args = args
        self.options = options
