"""Reads data sets. Nothing here touches the network."""

from lr_batch.data.hash import data_hash
from lr_batch.data.idx import read_idx
from lr_batch.data.prepared import (
    FROM_FILES,
    FROM_PICTURES,
    FROM_TEXTS,
    STAND_INS,
    DataNotPrepared,
    Images,
    is_prepared,
    load_prepared,
    tfds_folder,
    version_folder,
)
from lr_batch.data.records import DAMAGED_SHARE
from lr_batch.data.stand_in import Parts, Texts, data_state, load_stand_in, save_stand_in
from lr_batch.data.vocabulary import train_vocabulary

__all__ = [
    "DAMAGED_SHARE",
    "FROM_FILES",
    "FROM_PICTURES",
    "FROM_TEXTS",
    "STAND_INS",
    "DataNotPrepared",
    "Images",
    "Parts",
    "Texts",
    "data_hash",
    "data_state",
    "is_prepared",
    "load_prepared",
    "load_stand_in",
    "read_idx",
    "save_stand_in",
    "tfds_folder",
    "train_vocabulary",
    "version_folder",
]
