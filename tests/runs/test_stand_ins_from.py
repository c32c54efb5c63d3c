"""Stand-ins made of files: pictures of folders, drawings with tags, texts; near-duplicates are in one part."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lr_batch.data import data_hash, load_stand_in
from lr_batch.workloads import PANELS
from runs import drawings
from runs.drawings import tags
from runs.stand_ins import prepare_stand_in
from runs.stand_ins_from import group_of, made_from

rng = np.random.default_rng(0)
NAMES = [
    f"{word}_{number:02d}"
    for word in ("ant", "bee", "cow", "dog", "eel", "fox", "gnu", "hen")
    for number in (1, 2)
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    return tmp_path / "some" / "pictures"


def write_classes(folder):
    for number, label in enumerate(("red", "green", "blue")):
        (folder / label).mkdir(parents=True)
        for name in NAMES:
            noise = rng.integers(0, 80, (9, 9, 3), np.uint8)
            noise[..., number] += 120
            Image.fromarray(noise).save(folder / label / f"{label}_{name}.png")
    for label in ("red", "blue"):  # of two classes, and so of none
        Image.new("RGB", (9, 9)).save(folder / label / "both.png")


def test_pictures_of_folders_with_one_group_in_one_part(place):
    write_classes(place)
    prepare_stand_in("cifar10", place)
    train, held_out, about = load_stand_in("cifar10")
    assert about == "pictures of some/pictures: blue, green, red"
    assert train.x.shape[1:] == (32, 32, 3) and len(train.y) + len(held_out.y) == 48 and len(held_out.y) > 0
    assert train.x.mean(axis=(1, 2)).argmax(axis=1).tolist() == [2 - label for label in train.y]
    of_two_numbers = np.bincount(held_out.y, minlength=3)
    assert not (of_two_numbers % 2).any()  # both of a name, or none
    assert (train.x.mean(axis=(1, 2, 3)) > 10).all()  # the picture of two classes is left out
    workload = PANELS["cifar10_resnet8"].workload("tiny")
    assert workload.stand_in == about and workload.name == "stand-in-cifar10_resnet8-tiny"
    assert data_hash(workload).startswith("stand-in ")


DRAWING = '<svg xmlns:dc="d" xmlns:rdf="r"><dc:subject><rdf:Bag>{}</rdf:Bag></dc:subject></svg>'


def write_drawings(folder, number_of_tags):
    folder.mkdir(parents=True)
    for i in range(40):
        mine = [f"<rdf:li>Tag{(i + k) % number_of_tags} &amp; co</rdf:li>" for k in range(4)]
        (folder / f"drawing_{'abcdefghijklmnopqrstuvwxyz'[i % 26]}{i}.svg").write_text(
            DRAWING.format("".join(mine))
        )


def test_drawings_and_their_commonest_tags(place, monkeypatch):
    picture = lambda path, size: np.full(
        (size, size, 3), int("".join(filter(str.isdigit, path.stem))), np.uint8
    )
    monkeypatch.setattr("runs.stand_ins_from.pixels", picture)
    write_drawings(place, 10)
    prepare_stand_in("open_images_v4", place)
    train, held_out, about = load_stand_in("open_images_v4")
    assert about.startswith("drawings of some/pictures: tag0 & co, tag1 & co, ")
    for part in (train, held_out):
        assert len(part.x) > 0
        for pixels, labels in zip(part.x, part.y, strict=True):
            assert np.flatnonzero(labels).tolist() == sorted((int(pixels.max()) + k) % 10 for k in range(4))
    assert len(train.x) + len(held_out.x) == 40


def test_tags_of_a_drawing(tmp_path):
    path = tmp_path / "a.svg"
    path.write_text(
        DRAWING.format("<rdf:li>Bird</rdf:li><rdf:li></rdf:li><rdf:li> Sea &gt;\n</rdf:li>")
        + "<rdf:li>no</rdf:li>"
    )
    assert tags(path) == {"bird", "sea >"}
    path.write_text("<svg/>")
    assert tags(path) == frozenset()


def test_texts_of_one_name_are_in_one_part_and_none_twice(place):
    place.mkdir(parents=True)
    for number in range(12):
        text = f"Sentence number {number} of this file. It is followed by {number} others. All of the files say this."
        (place / f"file{number:02d}.txt").write_text(text)
        (place / f"file{number:02d}.html").write_text(f"<p>{text}</p><p>Page number {number} says more.</p>")
    train, held_out, about = made_from("lm1b", place)
    assert about == "sentences of some/pictures"
    told = lambda texts: texts.x.tobytes().decode()
    assert (
        "number 9 of" in told(held_out)
        and "Page number 9" in told(held_out)
        and "number 9 of" not in told(train)
    )
    assert (told(train) + told(held_out)).count("All of the files say this.") == 1
    assert (told(train) + told(held_out)).count("Sentence number 3 of") == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "mnist",
            "unknown stand-in from files 'mnist'.*known: c4, cifar10, imagenet2012, lm1b, open_images_v4",
        ),
        ("lm1b", "has 0 files of text .* two at least are needed"),
        ("cifar10", "needs two folders at least, each with 10 pictures or more"),
        ("open_images_v4", r"needs 10 tags \(dc:subject of SVG\), each in 10 groups of drawings or more"),
    ],
)
def test_too_little_is_one_line(place, name, message):
    place.mkdir(parents=True)
    with pytest.raises(ValueError, match=message) as error:
        prepare_stand_in(name, place)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="is not a folder|unknown stand-in"):
        prepare_stand_in(name, Path("nowhere"))


def test_what_draws_is_named_where_it_is_missing(place, monkeypatch):
    write_drawings(place, 10)
    monkeypatch.setattr(
        drawings.importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError("none"))
    )
    with pytest.raises(
        ValueError, match="need CairoSVG, which cannot be imported .*run: pip install cairosvg"
    ):
        prepare_stand_in("open_images_v4", place)


def test_a_group_is_a_name_without_numbers():
    assert (
        group_of(Path("a/Eagle_02.svg"))
        == group_of(Path("b/eagle_11.png"))
        != group_of(Path("a/eagles_02.svg"))
    )
