"""ImageNet and Open Images from what is published: archives within archives, pictures with tables of labels."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

import lr_batch
from lr_batch.data import data_state
from lr_batch.problem.metrics import fitting_metrics
from lr_batch.workloads.examples import read_classes, read_labels
from lr_batch.workloads.panel import sigmoid_cross_entropy
from runs.data import prepare
from runs.imagenet import TRAIN, VALIDATION

CLASSES = ("n01440764", "n01443537")  # the first two of ImageNet
LABELS = ("/m/0108_09c", "/m/010dmf", "/m/010jjr")  # the first three that are trained on


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def jpeg(value):
    file = io.BytesIO()
    Image.new("RGB", (9, 12), (value, value, value)).save(file, "JPEG")
    return file.getvalue()


def archive(files):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return content.getvalue()


def write_imagenet(folder):
    classes = {
        f"{label}.tar": archive({f"{label}_{i}.JPEG": jpeg(40 * number + i) for i in range(4)})
        for number, label in enumerate(CLASSES)
    }
    (folder / TRAIN).write_bytes(archive(classes))
    held_out = {f"ILSVRC2012_val_{i:08d}.JPEG": jpeg(10 * i) for i in (1, 2, 3)}
    (folder / VALIDATION).write_bytes(archive(held_out))


def test_imagenet_is_read_from_its_archives(place):
    write_imagenet(place)
    folder = prepare("imagenet2012", place, 8)
    assert data_state("imagenet2012") == "prepared"
    examples = read_classes("imagenet2012", (8, 8, 3))
    x, y = (np.asarray(column) for column in examples.train)
    brightness = np.round(255 * x.mean(axis=(1, 2, 3))).astype(int)
    assert sorted(zip(brightness.tolist(), y.tolist(), strict=True)) == [
        (40 * number + i, number) for number in range(2) for i in range(4)
    ]
    names = (folder / "label.labels.txt").read_text().split()
    of = {
        round(255 * float(pixel.mean())): names[label]
        for pixel, label in zip(*examples.held_out, strict=True)
    }
    assert of == {
        10: "n01751748",
        20: "n09193705",
        30: "n02105855",
    }  # as published: lines 1 to 3 of the labels


def test_an_archive_that_is_missing_or_cut_off_is_one_line(place):
    write_imagenet(place)
    content = (place / TRAIN).read_bytes()
    (place / TRAIN).write_bytes(content[:3_000])
    with pytest.raises(ValueError, match=f"{TRAIN} cannot be read: ") as error:
        prepare("imagenet2012", place, 8)
    assert "\n" not in str(error.value)
    (place / TRAIN).unlink()
    with pytest.raises(ValueError, match=f"has no {TRAIN}; both archives are needed"):
        prepare("imagenet2012", place, 8)
    with pytest.raises(ValueError, match="imagenet2012 needs --size PIXELS"):
        prepare("imagenet2012", place)


def write_open_images(folder):
    for split, count in (("train", 6), ("validation", 2)):
        (folder / split).mkdir()
        for i in range(count):
            (folder / split / f"{split}{i}.jpg").write_bytes(jpeg(20 * i))
        human = [(f"{split}{i}", LABELS[i % 2], 1) for i in range(count)] + [(f"{split}1", LABELS[2], 0)]
        machine = [
            (f"{split}1", LABELS[2], 0.9),
            (f"{split}0", LABELS[2], 0.6),
            (f"{split}0", LABELS[1], 0.4),
        ]
        for kind, rows in (("human", [*human, (f"{split}0", "/m/untrained", 1)]), ("machine", machine)):
            lines = [
                "ImageID,Source,LabelName,Confidence",
                *(f"{i},s,{label},{sure}" for i, label, sure in rows),
            ]
            (folder / f"{split}-annotations-{kind}-imagelabels.csv").write_text("\n".join(lines) + "\n")


def test_open_images_has_the_labels_that_are_confirmed_or_likely(place):
    """A machine's 0.6 counts, its 0.4 does not, nor its 0.9 that a person denies."""
    write_open_images(place)
    prepare("open_images_v4", place, 8)
    assert data_state("open_images_v4") == "prepared"
    examples = read_labels("open_images_v4", (8, 8, 3))
    x, y = (np.asarray(column) for column in examples.train)
    assert y.shape == (6, 7_186) and not examples.stand_in
    of = {
        round(255 * float(pixel.mean()) / 20): np.flatnonzero(row).tolist()
        for pixel, row in zip(x, y, strict=True)
    }
    assert of == {0: [0, 2], 1: [1], 2: [0], 3: [1], 4: [0], 5: [1]}
    data = {"y": examples.train[1]}, {"y": examples.held_out[1]}
    metrics = fitting_metrics(sigmoid_cross_entropy, np.zeros((2, 7_186)), *data)
    assert "average_precision" in metrics and lr_batch.num_examples(data[0]) == 6


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "validation-annotations-human-imagelabels.csv",
            "a,b\n1,2\n",
            "human-imagelabels.csv line 2 is no row of ImageID",
        ),
        (
            "train-annotations-machine-imagelabels.csv",
            f"ImageID,Source,LabelName,Confidence\na,s,{LABELS[0]},x\n",
            "machine-imagelabels.csv line 2 is no row of ImageID",
        ),
    ],
)
def test_a_table_of_another_form_is_one_line(place, name, text, message):
    write_open_images(place)
    (place / name).write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        prepare("open_images_v4", place, 8)
    assert "\n" not in str(error.value)


def test_open_images_without_a_split_or_its_tables_is_one_line(place):
    (place / "train").mkdir()
    with pytest.raises(ValueError, match="needs train/ and validation/ with pictures IMAGE_ID.jpg"):
        prepare("open_images_v4", place, 8)
    (place / "validation").mkdir()
    with pytest.raises(ValueError, match="has neither train-annotations-machine-imagelabels.csv nor train"):
        prepare("open_images_v4", place, 8)
