"""The unit of work: one bucket, or one slice, of one build."""

from typing import NamedTuple

from pipelines.storage.store import Store
from schemas.recipe import Recipe


class Job(NamedTuple):
    """One bucket of one build. A reference: small, and the same on every worker."""

    out: str  # the build's folder, a URL
    bucket: str
    recipe: Recipe

    @property
    def store(self) -> Store:
        """The build's folder."""
        return Store(self.out)
