"""The results of a study on disk."""

from runs.store.errors import StoreError, StoreInUse, StudyChanged
from runs.store.records import BadRow
from runs.store.store import Store

__all__ = ["BadRow", "Store", "StoreError", "StoreInUse", "StudyChanged"]
