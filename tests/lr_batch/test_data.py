"""Data: IDX files, the TFDS folder, hashes, and workloads made of a user's arrays."""

from __future__ import annotations

import gzip
import socket
import struct
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx

from lr_batch.data import DataNotPrepared, data_hash, load_prepared, read_idx
from lr_batch.data.prepared import CACHE_NAME
from lr_batch.problem.from_arrays import from_arrays
from lr_batch.problem.workload import Goal
from runs.data import CIFAR_RECORD, prepare

X = np.random.RandomState(0).randn(12, 4).astype(np.float32)
Y = np.arange(12) % 3
CROSS_ENTROPY = optax.softmax_cross_entropy_with_integer_labels


def idx_bytes(array: np.ndarray) -> bytes:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_mnist(folder, rows=(20, 7)):
    """Random IDX files, the images gzipped; returns the training images and labels."""
    random = np.random.RandomState(1)
    folder.mkdir()
    written = []
    for prefix, n in zip(("train", "t10k"), rows, strict=True):
        images, labels = random.randint(0, 256, (n, 28, 28)), np.arange(n) % 10
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images)))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
        written.append((images, labels))
    return written[0]


@pytest.fixture
def tfds_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds data"))
    return tmp_path / "tfds data"


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError(f"went to the network: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_idx_plain_and_gzipped(tmp_path):
    array = np.arange(24).reshape(2, 3, 4)
    for name, data in (("plain", idx_bytes(array)), ("zipped", gzip.compress(idx_bytes(array)))):
        (tmp_path / name).write_bytes(data)
        np.testing.assert_array_equal(read_idx(tmp_path / name), array)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an IDX file"),
        (b"<html>not found</html>", "not an IDX file"),
        (idx_bytes(np.zeros((5, 4)))[:-1], "should hold 5 x 4 bytes after its header, has 19"),
        (idx_bytes(np.zeros((5, 4))) + b"x", "has 21"),
        (idx_bytes(np.zeros((5, 4)))[:9], "cut off"),
        (gzip.compress(idx_bytes(np.zeros((50, 40))), mtime=0)[:-12], "damaged gzip"),
    ],
    ids=["empty", "a page", "one byte short", "one byte long", "no header", "gzip"],
)
def test_damaged_idx_file_gets_one_line(tmp_path, data, message):
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        read_idx(tmp_path / "file")
    assert "\n" not in str(error.value)


def test_missing_data_set_is_answered_at_once_with_the_command(tfds_folder, no_network):
    began = time.monotonic()
    with pytest.raises(DataNotPrepared, match="lr-batch data prepare fashion_mnist --from DIR") as error:
        load_prepared("fashion_mnist")
    assert time.monotonic() - began < 5
    assert "\n" not in str(error.value)


def test_prepared_data_is_read_back_and_again_from_its_copy(tmp_path, tfds_folder, no_network, monkeypatch):
    images, labels = write_mnist(tmp_path / "idx files")
    folder = prepare("fashion_mnist", tmp_path / "idx files")
    assert not [path for path in folder.parent.iterdir() if path != folder]
    first = load_prepared("fashion_mnist")
    assert first["train"].x.shape == (20, 28, 28, 1) and first["test"].x.shape == (7, 28, 28, 1)
    by_bytes = {image.astype(np.uint8).tobytes(): label for image, label in zip(images, labels, strict=True)}
    assert {image.tobytes(): label for image, label in zip(*first["train"], strict=True)} == by_bytes

    monkeypatch.setattr("lr_batch.data.prepared._decode", None)  # From here on only the copy can answer.
    np.testing.assert_array_equal(load_prepared("fashion_mnist")["train"].x, first["train"].x)
    monkeypatch.undo()


def flip_a_bit(path):
    copy = bytearray(path.read_bytes())
    copy[len(copy) // 2] ^= 1
    path.write_bytes(copy)


def change_an_image(path):
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "train_x": 255 - arrays["train_x"]})


@pytest.mark.parametrize("damage", [flip_a_bit, change_an_image])
def test_damaged_copy_is_not_believed(tmp_path, tfds_folder, damage):
    write_mnist(tmp_path / "idx")
    folder = prepare("mnist", tmp_path / "idx")
    first = load_prepared("mnist")
    damage(folder / CACHE_NAME)
    np.testing.assert_array_equal(load_prepared("mnist")["train"].x, first["train"].x)


def test_cifar10_records_are_prepared(tmp_path, tfds_folder, no_network):
    record = np.zeros((2, CIFAR_RECORD), np.uint8)
    record[:, 0], record[:, 1 : 1 + 1024] = 7, 255  # label 7, all red
    for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        record.tofile(tmp_path / name)
    prepare("cifar10", tmp_path)
    images = load_prepared("cifar10")["train"]
    np.testing.assert_array_equal(images.y, np.full(10, 7))
    np.testing.assert_array_equal(images.x[0, 5, 9], [255, 0, 0])


TRAIN_LABELS = "train-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("emnist", lambda folder: None, "unknown data set 'emnist'; known: fashion_mnist"),
        ("mnist", lambda folder: (folder / "t10k-labels-idx1-ubyte").unlink(), "has neither t10k-labels"),
        ("mnist", lambda folder: (folder / TRAIN_LABELS).write_bytes(idx_bytes(np.zeros(3))), "shape"),
        ("mnist", lambda folder: (folder / TRAIN_LABELS).write_bytes(idx_bytes(np.full(20, 99))), "0 to 9"),
    ],
)
def test_files_that_do_not_fit_leave_nothing_behind(tmp_path, tfds_folder, name, spoil, message):
    write_mnist(tmp_path / "idx")
    spoil(tmp_path / "idx")
    with pytest.raises(ValueError, match=message):
        prepare(name, tmp_path / "idx")
    assert not tfds_folder.exists()


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool):
        return nn.Dense(3)(nn.Dropout(0.5, deterministic=not train)(x))


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.dense, self.dropout = nnx.Linear(4, 3, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.dense(self.dropout(x))


def pair_apply(params, x, key):
    return (x if key is None else x * jax.random.bernoulli(key, 0.5, x.shape)) @ params


MODELS = {
    "linen": lambda: Linen(),
    "nnx function": lambda: Nnx,
    "nnx module": lambda: Nnx(nnx.Rngs(0)),
    "pair": lambda: (lambda key: jax.random.normal(key, (4, 3)), pair_apply),
}


def make(model=None, **changes):
    given = dict(train=(X, Y), held_out=(X[:5], Y[:5]), loss=CROSS_ENTROPY, goal=Goal("error", 0.1))
    return from_arrays(MODELS["pair"]() if model is None else model, **{**given, **changes})


@pytest.mark.parametrize("kind", MODELS)
def test_models_of_every_kind_have_dropout_in_training_alone(kind):
    workload = make(MODELS[kind]())
    init, loss = jax.jit(workload.init), jax.jit(workload.loss)
    params = init(jax.random.key(0))
    batch = jax.tree.map(jnp.asarray, workload.train_data)
    one, same, other = (loss(params, batch, jax.random.key(i)) for i in (1, 1, 2))
    assert one.shape == (12,)
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)
    evaluated = jax.jit(workload.evaluate)(params, batch)
    assert set(evaluated) == {"loss", "error", "perplexity"}
    grads = jax.grad(lambda p: workload.loss(p, batch, jax.random.key(1)).sum())(params)
    assert jax.tree.structure(grads) == jax.tree.structure(params)
    moves_with_seed = any(
        not np.allclose(a, b)
        for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(init(jax.random.key(5))), strict=True)
    )
    assert moves_with_seed == (kind != "nnx module")


def test_error_is_the_share_of_wrong_labels():
    model = (lambda key: jnp.eye(3), lambda params, x: x @ params)
    x = np.eye(3, dtype=np.float32)
    workload = make(model, train=(x, np.array([0, 1, 1])), held_out=(x, Y[:3]))
    metrics = workload.evaluate(jnp.eye(3), workload.train_data)
    np.testing.assert_array_equal(metrics["error"], [0, 0, 1])


class WithBatchNorm(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.BatchNorm(use_running_average=False)(nn.Dense(3)(x))


class OnADevice:
    """An array of another library, which it does not hand over as it is."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("not on this device")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "resnet"}, "model must be a Flax linen module"),
        (
            {"model": WithBatchNorm()},
            "the model does not read its running averages in evaluation",
        ),
        ({"model": nn.Dense(3), "train": (X[:, :0], Y)}, "held_out x has rows of shape"),
        ({"loss": lambda logits, y: CROSS_ENTROPY(logits, y).mean()}, "return the values before their mean"),
        ({"loss": lambda logits, y: logits}, "one value for each example"),
        (
            {"loss": lambda logits, y: logits @ jnp.ones((7,))},
            r"loss of outputs float32 \(2, 3\) and targets int32 \(2,\) failed: TypeError",
        ),
        ({"train": (X, Y[:-1])}, "train has 12 rows in x but 11 in y"),
        ({"goal": Goal("accuracy", 0.9)}, "unknown goal metric 'accuracy' .known: error, loss"),
        ({"held_out": (np.full((2, 4), np.nan), Y[:2])}, "held_out x has values that are not finite"),
        ({"train": ([[1.0]], Y)}, "train x must be an array, got list"),
        (
            {"train": (OnADevice(), Y)},
            "train x as an array of NumPy failed: RuntimeError: not on this device",
        ),
        (
            {"model": (lambda rng, x: {}, lambda params, rng, x: x)},
            r"init is called with one argument \(Array\), which <lambda>\(rng, x\) does not take",
        ),
        ({"train": X}, r"train must be a pair \(x, y\)"),
        ({"train": (np.array(["a"] * 12), Y)}, "must hold numbers"),
        ({"held_out": (X[:0], Y[:0])}, "at least one row"),
    ],
)
def test_mistakes_get_one_line_at_construction(changes, message):
    with pytest.raises(ValueError, match=message) as error:
        make(**changes)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("from_arrays: ")


def test_data_hash_tells_values_shapes_and_types_but_not_layout():
    workload = make()
    changed = X.copy()
    changed[3, 1] += 1e-6
    others = [
        make(train=(changed, Y)),
        make(train=(X[:11], Y[:11])),
        make(train=(X, Y.astype(np.uint8))),
        make(held_out=(X[1:6], Y[:5])),
    ]
    hashes = {data_hash(other) for other in (workload, *others)}
    assert len(hashes) == 5
    assert data_hash(make(train=(np.asfortranarray(X), Y))) == data_hash(workload)
