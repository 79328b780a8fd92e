"""What the supervisor tells a running gateway, line by line."""

import json
import sys

from pydantic import ValidationError

from runtime.execution.tokens import TokenMint
from runtime.service.egress_link import EgressLink
from runtime.service.readiness import Readiness
from runtime.service.runtime_servicer import RuntimeServicer
from runtime.service.settings import News


class Follower:
    """Puts news in force. Executions that run keep what they began with; the next ones get the new profiles."""

    def __init__(self, *, egress: EgressLink, servicer: RuntimeServicer, mint: TokenMint, readiness: Readiness) -> None:
        self._egress = egress
        self._servicer = servicer
        self._mint = mint
        self._readiness = readiness
        self._reachable = False

    def obey(self, line: bytes) -> bool:
        """Take a line over; whether with it the egress proxy can be reached for the first time."""
        try:
            news = News.model_validate_json(line)
        except ValidationError as error:
            _answer({"done": False, "error": f"{error.error_count()} faults in what the supervisor told"})
            return False
        self._take(news)
        _answer({"done": True})
        if news.egress_port is None:
            return False
        first, self._reachable = not self._reachable, True
        self._egress.use(news.egress_port, news.egress_ports)
        return first

    def _take(self, news: News) -> None:
        if news.generation is not None:
            self._servicer.profiles = news.profiles
            self._mint.generation = self._readiness.generation = news.generation
        if news.problem is not None:
            self._readiness.problem = news.problem


def _answer(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
