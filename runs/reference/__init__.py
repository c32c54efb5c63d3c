"""Published curves of steps to the goal, laid over measured ones."""

from runs.reference.distance import Distance, distance
from runs.reference.published import REFERENCES, Published, published

__all__ = ["REFERENCES", "Distance", "Published", "distance", "published"]
