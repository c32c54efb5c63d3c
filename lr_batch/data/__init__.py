"""Real data sets as arrays."""

from lr_batch.data.data_hash import data_hash

__all__ = ["data_hash"]
