"""The published panels: parameters against closed formulas, losses at the start, data and what stands in for them."""

from __future__ import annotations

import gzip

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lr_batch
from lr_batch.data import STAND_INS, DataNotPrepared, Images, Texts, data_hash, data_state, save_stand_in
from lr_batch.problem.calling_convention import Call
from lr_batch.problem.depends import depends_on
from lr_batch.workloads import PANELS, WORKLOADS
from lr_batch.workloads.examples import NUM_TOKENS
from lr_batch.workloads.panel import TINY
from lr_batch.workloads.resnet50 import ResNet50
from lr_batch.workloads.transformer import sinusoids

rng = np.random.default_rng(0)
QUICK_KEY = jax.random.key(0, impl="rbg")  # draws that take little time to compile


def dense(*widths):
    return sum(a * b + b for a, b in zip(widths[:-1], widths[1:], strict=True))


def conv(kernel, before, after, bias=True):
    return kernel**2 * before * after + bias * after


def simple_cnn(first, second, hidden):
    return conv(5, 1, first) + conv(5, first, second) + dense(7 * 7 * second, hidden, 10)


def resnet8(w):
    blocks = [(w, w), (w, w), (w, 2 * w), (2 * w, 2 * w), (2 * w, 4 * w), (4 * w, 4 * w)]
    return conv(3, 3, w) + sum(conv(3, *pair) for pair in blocks) + dense(4 * w, 10)


def resnet50(w, blocks, classes):
    total, before = 49 * 3 * w, w
    for stage, count in enumerate(blocks):
        narrow = w * 2**stage
        for i in range(count):
            total += before * narrow + 9 * narrow**2 + narrow * 4 * narrow + (i == 0) * before * 4 * narrow
            total += 2 * (before + narrow + narrow)  # scale and bias of three normalizations
            before = 4 * narrow
    return total + 2 * before + dense(before, classes)


def vgg11(w, hidden, classes, pixels):
    widths = [3, w, 2 * w, 4 * w, 4 * w, 8 * w, 8 * w, 8 * w, 8 * w]
    convolutions = sum(conv(3, a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))
    return convolutions + dense(8 * w * (pixels // 32) ** 2, hidden, hidden, classes)


def transformer(vocab, width, layers, hidden):
    block = 4 * width**2 + dense(width, hidden, width) + 4 * width
    return layers * block + 2 * width + vocab * width


def lstm(vocab, units, projection):
    cells = 4 * units * (2 * projection + 1) + units * projection
    return vocab * projection + cells + dense(projection, vocab)


PUBLISHED = {  # name -> scale -> (by formula, as RESEARCH.md has it)
    "mnist_simple_cnn": {
        "narrow": (simple_cnn(16, 32, 512), 821_706),
        "base": (simple_cnn(32, 64, 1_024), 3_274_634),
        "wide": (simple_cnn(64, 128, 2_048), 13_074_186),
    },
    "mnist_fc": {
        "1024": (dense(784, 1_024, 10), 814_090),
        "1024x2": (dense(784, 1_024, 1_024, 10), 1_863_690),
        "1024x3": (dense(784, *[1_024] * 3, 10), 2_913_290),
        "2048x3": (dense(784, *[2_048] * 3, 10), 10_020_874),
        "512x3": (dense(784, *[512] * 3, 10), 932_362),
        "256x3": (dense(784, *[256] * 3, 10), 335_114),
        "128x3": (dense(784, *[128] * 3, 10), 134_794),
        "64x3": (dense(784, *[64] * 3, 10), 59_210),
    },
    "cifar10_resnet8": {"base": (resnet8(16), 75_050)},
    "imagenet_resnet50": {"base": (resnet50(64, (3, 4, 6, 3), 1_000), 25_549_352)},
    "open_images_resnet50": {"base": (resnet50(64, (3, 4, 6, 3), 7_186), 38_224_466)},
    "imagenet_vgg11": {"base": (vgg11(64, 4_096, 1_000, 224), 132_863_336)},
    "lm1b_transformer": {
        "base": (transformer(32_768, 512, 6, 2_048), 35_680_256),
        "shallow": (transformer(32_768, 512, 2, 2_048), 23_078_912),
        "narrow_shallow": (transformer(32_768, 256, 2, 1_024), 9_966_592),
        "wide": (transformer(32_768, 1_024, 6, 4_096), 109_109_248),
    },
    "lm1b_lstm": {"base": (lstm(32_768, 2_048, 512), 43_032_576)},
}
PUBLISHED["fashion_mnist_simple_cnn"] = PUBLISHED["mnist_simple_cnn"]
PUBLISHED["common_crawl_transformer"] = {"base": PUBLISHED["lm1b_transformer"]["base"]}
SCALES = [(name, scale) for name, panel in PANELS.items() for scale in panel.scales]


@pytest.mark.parametrize(("name", "scale"), SCALES)
def test_parameters_are_as_published(name, scale):
    size = PANELS[name].scales[scale]
    count = sum(leaf.size for leaf in jax.tree.leaves(size.param_shapes))
    assert count == size.num_params
    for number in PUBLISHED.get(name, {}).get(scale, ()):
        assert count == number


def test_every_published_size_is_there():
    """`tiny` and Fashion-MNIST's fully connected network are ours."""
    ours = {(name, TINY) for name in PANELS} | {("fashion_mnist_fc", "256x3")}
    assert {(name, scale) for name, sizes in PUBLISHED.items() for scale in sizes} == set(SCALES) - ours


@pytest.mark.parametrize("name", [name for name in PANELS if name != "fashion_mnist_fc"])
def test_loss_starts_at_that_of_guessing(name):
    """ln(classes), or ln 2 for each label; of two examples at the smallest scale, in training where it normalises."""
    panel = PANELS[name]
    size = panel.scale(TINY)
    x, y, chance = rng.uniform(size=(2, *size.inputs)), np.arange(2), np.log(10)
    if size.dtype == "int32":
        x, y, chance = np.arange(32).reshape(2, 16), np.arange(32).reshape(2, 16) + 1, np.log(NUM_TOKENS)
    if panel.data == "open_images_v4":
        y, chance = np.eye(10, dtype=np.int32)[:2], 10 * np.log(2)
    keywords = Call.of(size.model.__call__, inputs=1).keywords(None)
    if "resnet50" in name:
        keywords = {"deterministic": False}
    start = lambda key, x: size.model.init_with_output(key, x, **keywords)[0]
    outputs = jax.jit(start)(QUICK_KEY, jnp.asarray(x, size.dtype))
    assert float(panel.loss(outputs, y).mean()) == pytest.approx(chance, rel=0.1 / np.log(10))


def test_blocks_of_resnet50_start_as_their_shortcuts():
    """So that what is evaluated before averages have moved does not grow with the number of blocks."""
    deep, shallow = (ResNet50(10, width=2, blocks=(count,)) for count in (4, 1))
    x = rng.uniform(size=(2, 8, 8, 3)).astype(np.float32)

    def outputs(key):
        variables = deep.init(key, x, deterministic=True)
        return [model.apply(variables, x, deterministic=True) for model in (deep, shallow)]

    of_deep, of_shallow = jax.jit(outputs)(QUICK_KEY)
    np.testing.assert_allclose(of_deep, of_shallow, rtol=1e-5)
    assert np.abs(of_deep).max() > 1e-3


def test_resnet8_has_seven_convolutions_and_shortcuts_without_parameters():
    params = PANELS["cifar10_resnet8"].scale().param_shapes
    assert sorted(leaf["kernel"].shape[:2] for name, leaf in params.items() if name != "head") == [(3, 3)] * 7


def test_resnet50_has_batch_statistics_that_training_moves():
    model = PANELS["imagenet_resnet50"].scale(TINY).model
    x = jax.ShapeDtypeStruct((4, 32, 32, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, True), x)
    train = lambda v, x: model.apply(v, x, False, mutable=["batch_stats"])[1]["batch_stats"]
    assert depends_on(train, variables, x)
    moved = jax.eval_shape(train, variables, x)
    assert len(moved) == 13  # three in each of four blocks, and the last
    assert moved == variables["batch_stats"]


def test_positions_are_the_paper_s():
    np.testing.assert_allclose(
        sinusoids(3, 4)[2], [np.sin(2), np.sin(0.02), np.cos(2), np.cos(0.02)], rtol=1e-6
    )


@pytest.mark.parametrize("name", ["lm1b_transformer", "lm1b_lstm"])
def test_language_models_do_not_look_ahead(name):
    model = PANELS[name].scale(TINY).model
    x = jnp.arange(32)[None]
    init = lambda key: model.init(key, x, deterministic=True)
    params = jax.jit(init)(QUICK_KEY)
    apply = jax.jit(lambda x: model.apply(params, x, deterministic=True))
    before, after = apply(x), apply(x.at[0, 20].set(99))
    np.testing.assert_allclose(before[0, :20], after[0, :20], atol=1e-5)
    assert np.abs(before[0, 20:] - after[0, 20:]).max(axis=-1).min() > 1e-5


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    return tmp_path


def some_stand_in(data):
    """Forty examples of the right form."""
    if data in ("lm1b", "c4"):
        lengths = rng.integers(20, 60, 40)
        texts = Texts(rng.integers(32, 127, lengths.sum()).astype(np.uint8), lengths)
        return texts, texts
    size = {"mnist": (28, 28, 1)}.get(data, (32, 32, 3))
    y = np.arange(40) % 10
    labels = np.eye(10, dtype=np.int32)[y] if data == "open_images_v4" else y
    pictures = Images(rng.integers(0, 256, (40, *size)).astype(np.uint8), labels)
    return pictures, pictures


@pytest.mark.parametrize(
    # the two ResNet-50s are one network, of which every call compiles two programs
    "name",
    [name for name, panel in PANELS.items() if panel.data in STAND_INS and name != "imagenet_resnet50"],
)
def test_tiny_scale_trains_on_a_stand_in_and_says_so(folder, name):
    panel = PANELS[name]
    save_stand_in(panel.data, *some_stand_in(panel.data))
    workload = WORKLOADS[f"{name}-tiny"]()
    assert workload.name == f"stand-in-{name}-tiny" and workload.stand_in == STAND_INS[panel.data]
    assert data_hash(workload).startswith("stand-in ")
    study = lr_batch.Study(workload, seeds=1)
    assert max(study.batch_sizes) <= 40
    assert workload.group == (32 if "resnet50" in name else 1)
    gradient = jax.grad(lambda p, batch, key: workload.loss(p, batch, key).sum())
    batch = jax.tree.map(lambda leaf: leaf[:2], workload.train_data)
    params = jax.eval_shape(workload.init, jax.random.key(0))
    assert jax.eval_shape(gradient, params, batch, jax.random.key(1)) == params


def test_tiny_scale_is_trained(folder):
    save_stand_in("mnist", *some_stand_in("mnist"))
    rates = {"learning_rate": [0.05, 0.2]}
    study = lr_batch.Study(
        "mnist_fc-tiny", "sgd", [8], rates, seeds=2, goal="loss<2.2", budget=200, extend=False
    )
    result = lr_batch.run(study)
    assert result.workload == "stand-in-mnist_fc-tiny"
    assert np.isfinite(result.steps_to_goal).any()


def test_original_is_taken_where_both_are_there(folder, monkeypatch):
    """Under its own name, with its own hash."""
    save_stand_in("mnist", *some_stand_in("mnist"))
    assert data_state("mnist") == "stand-in"
    stand_in = WORKLOADS["mnist_fc"]()
    original = Images(np.zeros((5_010, 28, 28, 1), np.uint8), np.arange(5_010) % 10)
    monkeypatch.setattr("lr_batch.workloads.examples.is_prepared", lambda name: True)
    monkeypatch.setattr("lr_batch.workloads.examples.load_prepared", lambda name: {"train": original})
    workload = WORKLOADS["mnist_fc"]()
    assert (workload.name, workload.stand_in) == ("mnist_fc", "")
    assert len(workload.train_data["y"]) == 10 and len(workload.eval_data["y"]) == 5_000
    same_arrays = workload._replace(stand_in="something")
    assert data_hash(same_arrays) == f"stand-in {data_hash(workload)}"
    assert stand_in.name == "stand-in-mnist_fc"


def test_stand_in_that_is_damaged_or_too_small_is_one_line(folder):
    written = save_stand_in("imagenet2012", *some_stand_in("imagenet2012"))
    with pytest.raises(
        ValueError, match="takes pictures of 224x224x3, and the stand-in .* has 32x32x3.*vgg11-tiny$"
    ):
        WORKLOADS["imagenet_vgg11"]()
    (path,) = written.iterdir()
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "train_y": arrays["train_y"][::-1]})
    for spoil in (lambda: None, lambda: path.write_bytes(gzip.compress(b"no"))):
        spoil()
        with pytest.raises(ValueError, match="the stand-in of imagenet2012 is damaged: .* --standin$"):
            WORKLOADS["imagenet_vgg11-tiny"]()


@pytest.mark.parametrize("name", [name for name, panel in PANELS.items() if panel.data in STAND_INS])
def test_missing_data_name_the_command(folder, name):
    with pytest.raises(DataNotPrepared, match=f"run: lr-batch data prepare {PANELS[name].data} --") as error:
        WORKLOADS[name]()
    assert "\n" not in str(error.value)


def test_names_of_scales_and_earlier_names():
    with pytest.raises(ValueError, match="mnist_fc: unknown scale 'huge'.*128x3"):
        WORKLOADS["mnist_fc-huge"]()
    with pytest.raises(ValueError, match="digits_mlp has one scale, got 'tiny'"):
        WORKLOADS["digits_mlp-tiny"]
    with pytest.raises(ValueError, match="unknown workload 'mnist_cf'; did you mean 'mnist_fc'"):
        WORKLOADS["mnist_cf-tiny"]
    for earlier, name in WORKLOADS.renamed.items():
        with pytest.warns(FutureWarning, match=f"{earlier} is now called {name}"):
            assert WORKLOADS[earlier] is WORKLOADS[name]
