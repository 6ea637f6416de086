"""Values in Ray's object store, which jobs name and results leave there."""

from typing import Any

from vidnst.farm.deferred import Deferred, Part, pack_job
from vidnst.farm.ray.errors import lost_value


class StoredValue(Deferred):
    """One of the values that lie in Ray's object store under one reference.

    Args:
        reference: Ray's, to a tuple of values.
        place: position in the tuple.
        nbytes: size of the value.
    """

    def __init__(self, reference: Any, place: int, nbytes: int) -> None:
        self.reference = reference
        self.place = place
        self.nbytes = nbytes

    def get(self) -> Any:
        """Return the value; an array is read-only, and on the machine that made it not even a copy."""
        import ray

        try:
            return ray.get(self.reference)[self.place]
        except ray.exceptions.ObjectLostError as error:
            raise lost_value(error) from error


def deferred_part(reference: Any, part: Part) -> StoredValue:
    """Return what stands for a part of a result."""
    return StoredValue(reference, part.place, part.nbytes)


def packed_for_ray(job: Any) -> tuple[Any, list[Any]]:
    """Return a job with the places of its values, and the references that must travel with it."""
    references: dict[Any, int] = {}

    def place_of(value: StoredValue) -> Part:
        return Part(references.setdefault(value.reference, len(references)), value.place)

    return pack_job(job, place_of), list(references)
