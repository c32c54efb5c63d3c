"""Reads data sets. Nothing here touches the network."""

from lr_batch.data.hash import data_hash
from lr_batch.data.idx import read_idx
from lr_batch.data.prepared import DataNotPrepared, Images, load_prepared, tfds_folder

__all__ = ["DataNotPrepared", "Images", "data_hash", "load_prepared", "read_idx", "tfds_folder"]
