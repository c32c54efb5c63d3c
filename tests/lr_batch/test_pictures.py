"""Pictures in folders, and TFDS folders in another format, as data sets that stream."""

import json
import shutil
import struct

import numpy as np
import pytest
from PIL import Image
from test_data import write_mnist

import lr_batch
from lr_batch.data import DataNotPrepared, data_state
from lr_batch.problem.column import Column
from lr_batch.workloads.examples import read_classes
from runs.convert import masked_crc
from runs.data import prepare
from runs.pictures import resized

COLORS = {"blue": (0, 0, 250), "green": (0, 250, 0), "red": (250, 0, 0)}


@pytest.fixture
def tfds_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    return tmp_path / "tfds"


def write_pictures(folder, classes=tuple(COLORS), count=5, side=9):
    for label in classes:
        (folder / label).mkdir(parents=True)
        for number in range(count):
            image = Image.new("RGB", (side + number, side), COLORS[label])
            image.save(folder / label / f"{number}.png")
    return folder


def test_pictures_become_records_that_are_not_decoded_again(tfds_folder, tmp_path):
    written = prepare("my_pictures", write_pictures(tmp_path / "in"), 8)
    assert written == tfds_folder / "my_pictures" / "1.0.0"
    x, y = lr_batch.records(written)
    assert x.shape == (12, 8, 8, 3) and len(lr_batch.records(written, "validation")[0]) == 3
    colors = np.array(list(COLORS.values()), np.float32) / 255
    np.testing.assert_array_equal(x[:], np.broadcast_to(colors[y[:]][:, None, None], x.shape))
    with pytest.raises(ValueError, match="my_pictures/1.0.0 is there already; remove it first"):
        prepare("my_pictures", tmp_path / "in", 8)


def test_the_middle_of_a_picture_is_kept(tmp_path):
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, 4:8] = 200
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert resized(tmp_path / "wide.png", 4).shape == (4, 4, 3)
    assert (resized(tmp_path / "wide.png", 4) == 200).all()


def test_panels_take_prepared_pictures_and_leave_them_on_disk(tfds_folder, tmp_path):
    with pytest.raises(
        DataNotPrepared, match="data prepare imagenet2012 --from DIR --size PIXELS, where DIR holds"
    ):
        read_classes("imagenet2012", (8, 8, 3))
    for split, count in (("train", 6), ("val", 2)):
        write_pictures(tmp_path / "in" / split, count=count)
    prepare("imagenet2012", tmp_path / "in", 8)
    assert data_state("imagenet2012") == "prepared"
    examples = read_classes("imagenet2012", (8, 8, 3))
    assert isinstance(examples.train[0], Column) and examples.train[0].shape == (18, 8, 8, 3)
    assert isinstance(examples.held_out[0], np.ndarray) and examples.held_out[0].shape == (6, 8, 8, 3)
    assert examples.stand_in == ""


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda folder: [path.unlink() for path in sorted((folder / "red").iterdir())[1:]],
            "red' has one picture",
        ),
        (lambda folder: (folder / "empty").mkdir(), "empty' has no picture; remove it"),
        (lambda folder: (folder / "train").mkdir(), "give class folders alone, or train/ and validation/"),
        (
            lambda folder: [(folder / "blue" / f"{i}.png").write_bytes(b"no picture") for i in (1, 2)],
            r"2 of the first \d pictures cannot be read, more than 0.1%: .*blue.1.png",
        ),
        (
            lambda folder: [
                path.unlink() for label in ("red", "blue") for path in (folder / label).iterdir()
            ],
            "has 1 folder with pictures; a folder for each of two or more classes is needed",
        ),
    ],
    ids=["one picture", "an empty class", "a split", "damaged", "one class"],
)
def test_wrong_folders_of_pictures_are_refused_in_one_line(tfds_folder, tmp_path, spoil, said):
    folder = write_pictures(tmp_path / "in")
    spoil(folder)
    with pytest.raises(ValueError, match=f"^data prepare: .*{said}"):
        prepare("my_pictures", folder, 8)
    assert not (tfds_folder / "my_pictures" / "1.0.0").exists()


def test_a_class_that_is_not_trained_on_is_refused(tfds_folder, tmp_path):
    write_pictures(tmp_path / "in" / "train", ("red", "blue"))
    write_pictures(tmp_path / "in" / "test", ("red", "green"))
    with pytest.raises(ValueError, match="class 'green' of test is not in train"):
        prepare("my_pictures", tmp_path / "in", 8)


def test_one_damaged_picture_is_left_out_and_told(tfds_folder, tmp_path, capsys):
    folder = write_pictures(tmp_path / "in")
    (folder / "blue" / "1.png").write_bytes(b"no picture")
    assert len(lr_batch.records(prepare("my_pictures", folder, 8))[0]) == 11
    assert "left out: 1 damaged picture: " in capsys.readouterr().err


def as_tfrecord(source, target):
    """The version folder in the older format, its records in the same files."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(source)
    raw = tfds.decode.DeserializeMethod.RAW_BYTES
    target.mkdir(parents=True)
    for path in source.glob("*.json"):
        (target / path.name).write_text(path.read_text().replace('"array_record"', '"tfrecord"'))
    for split in builder.info.splits:
        with (target / f"mnist-{split}.tfrecord-00000-of-00001").open("wb") as file:
            for record in builder.as_data_source(split, deserialize_method=raw):
                length = struct.pack("<Q", len(record))
                file.write(length + struct.pack("<I", masked_crc(length)) + record + bytes(4))
    return target


@pytest.fixture
def tfrecord(tfds_folder, tmp_path):
    write_mnist(tmp_path / "idx", (20, 7))
    written = prepare("mnist", tmp_path / "idx")
    moved = written.rename(tmp_path / "array_record")
    return moved, as_tfrecord(moved, tmp_path / "tfrecord")


def test_tfrecord_becomes_array_record_in_the_same_order(tfds_folder, tfrecord):
    moved, old = tfrecord
    converted = prepare("mnist", old)
    assert converted == tfds_folder / "mnist" / "3.0.1"
    for split in ("train", "test"):
        for new, known in zip(
            lr_batch.records(converted, split), lr_batch.records(moved, split), strict=True
        ):
            np.testing.assert_array_equal(new[:], known[:])
    shutil.rmtree(converted)
    sized = prepare("mnist", old, 14)
    assert sized == tfds_folder / "mnist" / "1.0.0" and lr_batch.records(sized)[0].shape == (20, 14, 14, 3)


def test_damaged_tfrecords_are_named_with_their_index(tfds_folder, tfrecord):
    _, old = tfrecord
    path = old / "mnist-train.tfrecord-00000-of-00001"
    content = path.read_bytes()
    first = struct.unpack("<Q", content[:8])[0] + 16
    for spoilt, said in (
        (content[:-2], "record 19 is cut off"),
        (
            content[:first] + b"x" + content[first + 1 :],
            "record 1 is damaged: its length has another checksum",
        ),
        (content[:first], "has 1 record, its dataset_info.json says 20"),
    ):
        path.write_bytes(spoilt)
        with pytest.raises(ValueError, match=f"^data prepare: .*{path.name} {said}"):
            prepare("mnist", old)
    with pytest.raises(ValueError, match="holds mnist, not fashion_mnist"):
        prepare("fashion_mnist", old)
    info = json.loads((old / "dataset_info.json").read_text())
    (old / "dataset_info.json").write_text(json.dumps(info | {"fileFormat": "riegeli"}))
    with pytest.raises(ValueError, match="is in the format riegeli; what is converted is tfrecord"):
        prepare("mnist", old)
    assert list(tfds_folder.glob("mnist/*")) == []
