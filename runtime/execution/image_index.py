"""The images of a gateway by what executions know them by."""

from collections.abc import Sequence

from runtime.execution.execution import Execution, Program
from runtime.isolate.compiled import CompiledImage


class ImageRetiredError(RuntimeError):
    """The image an execution ran on is no longer here."""

    def __init__(self, digest: str) -> None:
        super().__init__(f"the image {digest} it ran on is no longer here")


class ImageIndex:
    """New executions begin on the image of a name; others go on on the image of a digest."""

    def __init__(self, images: Sequence[CompiledImage]) -> None:
        self._digests = {image.name: f"sha256:{image.digest}" for image in images}
        self._places = {
            (f"sha256:{image.digest}", image.fuel): place for place, image in reversed(list(enumerate(images)))
        }

    def digest(self, program: Program) -> str:
        """Of the image that a program begins on."""
        return self._digests[program.image]

    def place(self, execution: Execution) -> int:
        """Where the image it began on is among the gateway's. Raises ImageRetiredError."""
        place = self._places.get((execution.image_digest, bool(execution.program.limits.fuel)))
        if place is None:
            raise ImageRetiredError(execution.image_digest)
        return place

    def has(self, execution: Execution) -> bool:
        """Whether the image it began on is here."""
        return (execution.image_digest, bool(execution.program.limits.fuel)) in self._places
