"""Pictures that training cuts, turns and scales: pure functions of seed, epoch and example, on the host."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import sgd, tiny_workload

import lr_batch
from lr_batch import StudyError
from lr_batch.data import data_hash
from lr_batch.engine import Checkpoint, ChunkPlan, Identity, Programs, run_task, worker_devices
from lr_batch.engine.windows import Windows
from lr_batch.lanes.order import examples_at
from lr_batch.problem.augmentation import augmented, augmented_rows, read_augmentation
from lr_batch.problem.column import ArraySource, Column, columns_of
from lr_batch.problem.mixing import uniforms

rng = np.random.default_rng(0)
PICTURES = rng.uniform(size=(30, 6, 5, 2)).astype(np.float32)


def apply(text, draws, x=PICTURES):
    return read_augmentation("study", text).apply(x, np.asarray(draws, np.float32))


def workload(**changes):
    """Which of three classes: the brightest row of a picture of 3x3, whatever its side."""
    x = np.random.default_rng(1).uniform(size=(60, 3, 3, 1)).astype(np.float32)
    y = x.mean(axis=(2, 3)).argmax(axis=1).astype(np.int32)
    model = (
        lambda key: {"w": jnp.zeros((9, 3))},
        lambda params, x: x.reshape(len(x), 9) @ params["w"],
    )
    fields = dict(train=(x[:40], y[:40]), held_out=(x[40:], y[40:]), goal="loss<0.8", budget=90)
    loss = optax.softmax_cross_entropy_with_integer_labels
    return lr_batch.from_arrays(model, loss=loss, name="rows", **(fields | changes))


def study(**changes):
    fields = dict(optimizer=sgd, batch_sizes=(6,), space={"learning_rate": (0.1, 1.0)}, seeds=1, extend=False)
    return lr_batch.Study(**({"workload": workload()} | fields | changes))


def test_draws_are_uniform_and_those_of_neighbours_have_nothing_in_common():
    """Of 40,000 numbers the mean is within 5 standard errors of 1/2, 16 equal cells within 5 of their counts, and
    correlations between seeds, epochs, examples and draws below 5 over sqrt(n): one false alarm in 10^5."""
    n = 40_000
    epochs, examples = np.zeros(n, int), np.arange(n)
    one = uniforms(3, epochs, examples, 2)
    assert one.dtype == np.float32 and one.min() >= 0 and one.max() < 1
    assert abs(one[:, 0].mean() - 0.5) < 5 * np.sqrt(1 / 12 / n)
    counts = np.histogram(one[:, 0], 16, (0, 1))[0]
    assert np.abs(counts - n / 16).max() < 5 * np.sqrt(n / 16)
    others = [one[:, 1], uniforms(4, epochs, examples, 1)[:, 0], uniforms(3, epochs + 1, examples, 1)[:, 0]]
    for other in (*others, np.roll(one[:, 0], 1)):
        assert abs(np.corrcoef(one[:, 0], other)[0, 1]) < 5 / np.sqrt(n)


def test_a_crop_is_a_part_of_the_picture_in_its_frame():
    framed = np.pad(PICTURES, ((0, 0), (2, 2), (2, 2), (0, 0)))
    for row, column in ((0, 0), (4, 4), (2, 2), (1, 3)):
        cropped = apply("crop:2", np.tile([row / 5 + 0.1, column / 5 + 0.1], (30, 1)))
        np.testing.assert_array_equal(cropped, framed[:, row : row + 6, column : column + 5])
    np.testing.assert_array_equal(apply("crop:2", np.full((30, 2), 0.5)), PICTURES)


def test_half_of_the_draws_mirror_left_and_right():
    draws = np.linspace(0, 0.99, 30)[:, None]
    flipped = apply("flip", draws)
    np.testing.assert_array_equal(flipped[:15], PICTURES[:15, :, ::-1])
    np.testing.assert_array_equal(flipped[15:], PICTURES[15:])


def test_a_resized_crop_interpolates_between_pixels():
    """Of a ramp it is a ramp, from the corner of the rectangle on; the whole picture is itself."""
    square = np.tile(np.arange(8, dtype=np.float32)[None, :, None, None], (1, 1, 8, 1))
    even = (0 - np.log(3 / 4)) / (np.log(4 / 3) - np.log(3 / 4))  # ratio 1
    np.testing.assert_allclose(apply("resized_crop", [[1, even, 0.3, 0.3]], square), square, atol=1e-5)
    scaled = apply("resized_crop:0.25", [[0, even, 0.5, 1]], square)  # 4 x 4 from row 2 on
    np.testing.assert_allclose(scaled[0, :, 0, 0], 2 + (np.arange(8) + 0.5) / 2 - 0.5, atol=1e-5)
    drawn = rng.uniform(size=(30, 4))
    assert PICTURES.min() - 1e-6 <= apply("resized_crop", drawn).min()
    assert apply("resized_crop", drawn).max() <= PICTURES.max() + 1e-6


def test_areas_that_differ_have_names_that_differ():
    names = [
        read_augmentation("study", f"resized_crop:{area}").name for area in ("0.25", "0.2500001", "0.2500002")
    ]
    assert names == ["resized_crop:0.25", "resized_crop:0.2500001", "resized_crop:0.2500002"]


@pytest.mark.parametrize("text", ["crop:4", "flip", "resized_crop", "crop:1,flip,resized_crop:0.5"])
def test_an_example_is_changed_by_its_own_draws_alone(text):
    augment, data = read_augmentation("study", text), {"x": PICTURES, "y": np.arange(30)}
    rows, epochs = np.array([4, 9, 9, 2]), np.array([0, 0, 1, 5])
    take = lambda rows: {name: leaf[rows] for name, leaf in data.items()}
    together = augmented_rows(augment, take(rows), 7, epochs, rows)
    for place, (row, epoch) in enumerate(zip(rows, epochs, strict=True)):
        alone = augmented_rows(augment, take([row]), 7, np.array([epoch]), np.array([row]))
        np.testing.assert_array_equal(alone["x"][0], together["x"][place])
    assert together["x"].dtype == np.float32 and together["x"].shape == (4, 6, 5, 2)
    every = np.arange(30)
    first, *others = (
        augmented_rows(augment, data, seed, np.full(30, epoch), every)["x"]
        for seed, epoch in ((7, 0), (7, 1), (8, 0))
    )
    assert not any(np.array_equal(first, other) for other in others)
    np.testing.assert_array_equal(together["y"], rows)


def test_batch_sizes_see_the_same_pictures_in_the_same_order():
    augment, data = read_augmentation("study", "crop:2,flip"), columns_of({"x": PICTURES})
    seen = []
    for size, steps in ((4, 20), (10, 8)):
        windows = Windows(1, size, 20, 0, steps)
        parts = [windows.read(number, data, augment)["x"] for number in range(windows.count)]
        seen.append(np.concatenate(parts)[:80])
    np.testing.assert_array_equal(*seen)
    positions = np.arange(80)
    rows = examples_at(1, positions, 30)
    unchanged = PICTURES[rows]
    wanted = augmented_rows(augment, {"x": unchanged}, 1, positions // 30, rows)["x"]
    np.testing.assert_array_equal(seen[0], wanted)
    assert (np.abs(seen[0] - unchanged).max(axis=(1, 2, 3)) > 0).mean() > 0.9


class OnDisk:
    """Stands for records: what is not in memory."""

    described, folder = "", None

    def __init__(self, arrays):
        held = ArraySource(arrays)
        self.num_rows, self.columns, self.read = held.num_rows, held.columns, held.read

    def about_damaged(self):
        return ""


def test_what_lies_in_memory_and_what_streams_give_the_same_numbers():
    plain = study(augment="crop:1,flip")
    arrays = workload().train_data
    source = OnDisk(arrays)
    on_disk = workload(train=(Column(source, "x"), Column(source, "y")))
    assert isinstance(plain.workload.train_data["x"].source, ArraySource)
    streamed = study(workload=on_disk, augment="crop:1,flip")
    assert streamed.workload.train_data["x"].source is source
    held = lr_batch.streamed(streamed.workload, False)
    assert isinstance(held.train_data["x"].source, ArraySource)
    assert held.augment is streamed.workload.augment
    assert lr_batch.streamed(streamed.workload, True) is streamed.workload
    assert Identity.of(plain, 4, "vmap") == Identity.of(streamed, 4, "vmap")
    windows = Windows(0, 6, 20, 0, 30)
    read = [windows.read(2, one.train_data, one.augment)["x"] for one in (streamed.workload, held)]
    np.testing.assert_array_equal(*read)
    assert not np.array_equal(read[0], windows.read(2, arrays)["x"])
    for ours, theirs in zip(lr_batch.run(plain).curves, lr_batch.run(streamed).curves, strict=True):
        np.testing.assert_array_equal(ours.values, theirs.values)


class Kept(dict):
    def load(self, chunk):
        return self.get(chunk.id)

    def save(self, chunk, outcome):
        self[chunk.id] = outcome


def test_a_stopped_chunk_goes_on_with_the_pictures_of_its_step(monkeypatch):
    stopped, programs, store = study(augment="crop:1,flip", slack=float("inf")), Programs(), Kept()
    task = ChunkPlan.of(stopped).tasks(6, 0, stopped.settings)[0]
    run = lambda **options: run_task(stopped, task, worker_devices()[0], programs, **options)
    plain, given = Windows.read, []
    read = lambda windows, number, data, augment: (
        given.append(augment) or plain(windows, number, data, augment)
    )
    monkeypatch.setattr(Windows, "read", read)
    whole, asked = run(), iter([False, True])
    assert run(store=store, is_late=lambda: next(asked)) is None
    assert {*given} == {stopped.workload.augment}
    assert isinstance(store[task.chunk.id], Checkpoint) and 0 < store[task.chunk.id].step < 90
    np.testing.assert_array_equal(run(store=store).values, whole.values)


def test_it_is_part_of_what_a_study_is_and_no_earlier_one_changes():
    own, none = study(workload=workload(augment="flip")), study()
    assert own.augment == "flip" and none.augment is None
    assert Identity.of(own, 4, "vmap").described()["augment"] == "flip"
    assert "augment" not in Identity.of(none, 4, "vmap").described()
    assert Identity.of(own, 4, "vmap") == Identity.of(study(augment="flip"), 4, "vmap")
    assert data_hash(own.workload) == data_hash(none.workload)
    back = dataclasses.replace(own, augment="none")
    assert back.augment is None and isinstance(back.workload.train_data["x"], np.ndarray)
    assert dataclasses.replace(own, seeds=2).augment == "flip"


def test_ones_own_needs_a_name_and_keeps_the_shape():
    darker = lr_batch.Augmentation("darker", 1, lambda x, draws: x * draws[:, :1, None, None])
    made = study(workload=workload(augment=darker))
    assert dataclasses.replace(made, seeds=2).workload.augment is darker
    smaller = lr_batch.Augmentation("smaller", 0, lambda x, draws: x[:, 1:])
    with pytest.raises(ValueError, match=r"augmentation smaller: must return float32 \(30, 6, 5, 2\), as it"):
        augmented_rows(smaller, {"x": PICTURES}, 0, np.arange(30), np.arange(30))


numbers = np.random.default_rng()


@pytest.mark.parametrize(
    ("apply", "said"),
    [
        (lambda x, draws: 1 / 0, "augmentation mine failed: ZeroDivisionError.*test_augmentation.py, line "),
        (
            lambda x, draws: x[:, 1:],
            r"augmentation mine: must return float32 \(40, 3, 3, 1\), as it is given",
        ),
        (
            lambda x, draws: x * np.float32(numbers.uniform()),
            "makes other pictures .* each time it is called",
        ),
        (lambda x, draws: x + x[::-1], "makes other pictures of the same examples among other rows"),
        (lambda x, draws: x * np.float32(np.inf), "makes numbers that are not finite"),
    ],
)
def test_ones_own_is_tried_before_anything_is_trained(apply, said):
    with pytest.raises(StudyError, match=said) as error:
        lr_batch.check(study(workload=workload(augment=lr_batch.Augmentation("mine", 1, apply))))
    assert "\n" not in str(error.value)


def test_ones_own_is_asked_by_its_signature():
    with pytest.raises(
        ValueError, match="augmentation mine: apply is called with 2 arguments, which <lambda>.x."
    ):
        workload(augment=lr_batch.Augmentation("mine", 0, lambda x: x))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crops:4", "study: unknown augmentation 'crops'; did you mean 'crop'.*such as 'crop:4,flip'"),
        ("crop", "study: augment: crop: takes the width of its frame, from 1 to 64 pixels, got ''"),
        ("crop:0", "from 1 to 64 pixels, got '0'"),
        ("flip:2", "flip takes nothing, got '2'"),
        ("resized_crop:2", "above 0, at most 1, got '2'"),
        ("flip,,flip", "unknown augmentation ''"),
    ],
)
def test_another_word_is_one_line(text, message):
    with pytest.raises(ValueError, match=message) as error:
        augmented("study", workload(), text)
    assert "\n" not in str(error.value)


def test_only_pictures_and_only_what_trains_in_windows():
    with pytest.raises(
        ValueError, match=r"study: augmentation is of pictures .*; tiny has rows of shape \(5,\)"
    ):
        augmented("study", tiny_workload(), "flip")
    with pytest.raises(ValueError, match="generalize: trains on examples as they are.*--augment none"):
        lr_batch.generalize(study(augment="flip"), 1)
    flipped = study(augment="flip").workload
    with pytest.raises(ValueError, match="measure_noise_scale: trains on examples as they are"):
        lr_batch.measure_noise_scale(flipped, flipped.init(jax.random.key(0)), jax.random.key(1))
    one = study(augment="flip", space={"learning_rate": (0.1,)})
    with pytest.raises(ValueError, match="noise scale: trains on examples as they are"):
        lr_batch.noise_along_training(one)


def test_published_panels_say_what_they_do():
    scales = lr_batch.workloads.PANELS["cifar10_resnet8"].scales
    assert scales["base"].augment == "crop:4,flip" and scales["tiny"].augment is None
