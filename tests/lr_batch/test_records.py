"""Records of TFDS folders as columns: what is read, and what is wrong with a folder, in one line each."""

import json
import shutil

import numpy as np
import pytest
from test_data import write_mnist

import lr_batch
from lr_batch.data import data_hash, load_prepared
from lr_batch.data.hash import KEPT
from lr_batch.data.records import TooManyDamaged
from lr_batch.problem.column import about_damaged
from lr_batch.workloads.fully_connected import MNIST
from runs.data import prepare

HELD_OUT = 5


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder of MNIST with 40 random pictures to train on and 7 to test."""
    place = tmp_path_factory.mktemp("records")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(place / "tfds"))
        write_mnist(place / "idx", (40, 7))
        return prepare("mnist", place / "idx")


@pytest.fixture
def folder(prepared, tmp_path, monkeypatch):
    """A copy of it that may be spoilt."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    return shutil.copytree(prepared, tmp_path / "mnist" / prepared.name)


def spoil(folder, split, row):
    """Changes a byte within a record."""
    (path,) = folder.glob(f"*-{split}.array_record*")
    content = bytearray(path.read_bytes())
    place = content.find(b"IHDR")
    for _ in range(row):
        place = content.find(b"IHDR", place + 1)
    assert place > 0
    content[place + 40] ^= 0xFF
    path.write_bytes(content)


def test_what_is_read_is_what_is_held_in_memory(folder):
    x, y = lr_batch.records(folder, "train[5:35]")
    images = load_prepared("mnist")["train"]
    assert x.shape == (30, 28, 28, 1) and x.dtype == np.float32 and y.dtype == np.int32
    np.testing.assert_array_equal(x[[7, 0]], images.x[[12, 5]].astype(np.float32) / 255.0)
    np.testing.assert_array_equal(np.asarray(y), images.y[5:35])


def test_a_panel_on_disk_is_the_panel_in_memory(folder, monkeypatch):
    monkeypatch.setattr("lr_batch.workloads.examples.NUM_HELD_OUT", HELD_OUT)
    held, on_disk = MNIST.workload("tiny"), MNIST.workload("tiny", on_disk=True)
    assert on_disk.train_data["x"].shape == held.train_data["x"].shape == (35, 784)
    assert data_hash(on_disk) == data_hash(held)
    kept = json.loads((folder / KEPT).read_text())
    assert list(kept.values()) == [data_hash(held)]
    (folder / KEPT).write_text(json.dumps(dict.fromkeys(kept, "from the file")))
    assert data_hash(on_disk) == "from the file"


def test_a_damaged_record_is_named_counted_and_replaced_by_the_next_one(folder):
    clean = lr_batch.records(folder)[0][:]
    spoil(folder, "train", 3)
    x, y = lr_batch.records(folder)
    read = x[:]
    (row,) = x.source.damaged
    np.testing.assert_array_equal(read[row], clean[(row + 1) % 40])
    np.testing.assert_array_equal(np.delete(read, row, 0), np.delete(clean, row, 0))
    assert x.source.about_damaged().startswith(
        f"1 damaged record: mnist-train.array_record-00000-of-00001 record {row} ("
    )
    (said,) = about_damaged({"x": x, "y": y})
    assert said.endswith("the next record that can be read was trained on in its place")


def test_more_than_a_share_of_damaged_records_is_refused(folder):
    for row in (3, 9):
        spoil(folder, "train", row)
    with pytest.raises(
        TooManyDamaged, match=r"^records: 2 damaged records: mnist-train.* record \d+ .*; more than 0.1% of"
    ):
        lr_batch.records(folder)[0][:]


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    ],
    ids=["empty", "missing", "cut in half"],
)
def test_a_file_that_cannot_be_read_is_one_line(folder, spoilt):
    (path,) = folder.glob("*-train.array_record*")
    spoilt(path)
    with pytest.raises(ValueError, match=r"^records: 2 damaged records: mnist-train.* record 0 \(") as error:
        lr_batch.records(folder)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError) as error:
        load_prepared("mnist")
    assert "\n" not in str(error.value)


def test_columns_are_those_of_the_first_record_that_can_be_read(folder):
    spoil(folder, "train", 0)
    x, _ = lr_batch.records(folder)
    assert x.shape == (40, 28, 28, 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "trian"}, "split 'trian' of .* its splits: test, train"),
        ({"split": "train[:0]"}, "split 'train.:0.' of .* it is empty"),
        ({"x": "picture"}, "unknown feature 'picture'"),
    ],
)
def test_unknown_splits_and_features_are_refused(folder, options, said):
    with pytest.raises(ValueError, match=f"^records: .*{said}"):
        lr_batch.records(folder, **options)


def test_other_folders_are_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="is no folder of TFDS: it has no dataset_info.json"):
        lr_batch.records(tmp_path)
    for place in (folder.parents[1] / "fashion_mnist" / folder.name, folder.parents[1] / "mnist" / "1.0.0"):
        with pytest.raises(ValueError, match=r"holds mnist 3.0.1, not what its place says"):
            lr_batch.records(shutil.copytree(folder, place))
    info = folder / "dataset_info.json"
    plain = info.read_text()
    info.write_text(plain.replace("array_record", "tfrecord"))
    with pytest.raises(ValueError, match="in the format tfrecord, in which no record can be read on its own"):
        lr_batch.records(folder)
    info.write_text(plain[: len(plain) // 2])
    with pytest.raises(ValueError, match="dataset_info.json cannot be read"):
        lr_batch.records(folder)
