"""Texts: prepared from files, turned into subwords that belong to them, streamed with weights on padding."""

import gzip
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny import sgd

import lr_batch
from lr_batch.data import DataNotPrepared, data_hash, data_state
from lr_batch.data.vocabulary import BEGIN, END, PADDING, load_vocabulary, train_vocabulary, vocabulary_path
from lr_batch.engine import Identity
from lr_batch.engine.windows import Windows
from lr_batch.problem.column import read_whole
from lr_batch.workloads import PANELS
from runs.commands.data import Data
from runs.data import prepare
from runs.text_files import lines_of, seen_text, text_of
from runs.texts import LM1B_FILES, LM1B_TOP, cut_texts

WORDS = "the bank of a river where old boats lie at rest and new ones are built in spring by hand".split()
LENGTH, PIECES = 12, 300


def sentences(seed, count):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(2, 9))).capitalize() + "." for _ in range(count)]


def write_lm1b(folder, train=60, test=9):
    """As it is published: two files to train on, one held out."""
    for split, pattern in LM1B_FILES.items():
        path = folder / LM1B_TOP / pattern.replace("*", "00001-of-00002")
        path.parent.mkdir(parents=True)
        path.write_text("\n".join(sentences(len(split), train if split == "train" else test)) + "\n")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    place = tmp_path_factory.mktemp("texts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(place / "tfds"))
        write_lm1b(place / "files")
        return prepare("lm1b", place / "files", pieces=PIECES)


@pytest.fixture
def folder(prepared, tmp_path, monkeypatch):
    """A copy of it that may be spoilt."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    return shutil.copytree(prepared, tmp_path / "tfds" / "lm1b" / prepared.name)


def test_a_row_is_a_text_its_end_and_padding(folder):
    x, y, weights = lr_batch.texts(folder, length=40)
    assert x.shape == (60, 40) and x.dtype == y.dtype == np.int32 and weights.dtype == np.float32
    assert {*sentences(5, 60)} == {text.decode() for text in _raw(folder)}
    encode = load_vocabulary(folder, PIECES).encode
    for row, text in enumerate(_raw(folder)):
        (numbers,) = encode([text])
        assert numbers[-1] == END and len(numbers) < 40
        assert y[row].tolist() == numbers + [PADDING] * (40 - len(numbers))
        assert x[row].tolist() == [BEGIN, *y[row][:-1]]
        assert weights[row].tolist() == [1.0] * len(numbers) + [0.0] * (40 - len(numbers))
    cut = lr_batch.texts(folder, length=3)
    np.testing.assert_array_equal(cut[1][:], y[:][:, :3])


def _raw(folder):
    from lr_batch.data.vocabulary import texts_of

    return texts_of(folder)


def test_subwords_are_learnt_once_and_every_text_can_be_written(folder):
    """Also one with letters that no text had."""
    path = vocabulary_path(folder, PIECES)
    model, when = path.read_bytes(), path.stat().st_mtime_ns
    assert train_vocabulary(folder, PIECES) == path and path.stat().st_mtime_ns == when
    path.unlink()
    train_vocabulary(folder, PIECES)
    assert path.read_bytes() == model
    encode = load_vocabulary(folder).encode
    assert sum(map(len, encode(list(_raw(folder))))) < 0.9 * sum(
        map(len, _raw(folder))
    )  # they are pieces of words
    assert len(encode(["žluťoučký".encode()])[0]) > len("žluťoučký".encode())
    one, two = encode([b"the bank", b"of a river"])
    assert encode([b"of a river"])[0] == two and encode([b"the bank"])[0] == one
    assert max(max(numbers) for numbers in encode(list(_raw(folder)))) < PIECES


def test_bytes_need_no_vocabulary(folder):
    x, y, weights = lr_batch.texts(folder, "test[:2]", length=5, pieces=0)
    text = sentences(4, 9)
    assert bytes(y[0].tolist()).decode() in {sentence[:5] for sentence in text} and x[0][0] == 256
    assert weights[:].all()


def test_a_vocabulary_of_other_data_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "other"))
    write_lm1b(tmp_path / "files", train=61)
    other = prepare("lm1b", tmp_path / "files", pieces=PIECES + 1)
    for path in other.glob("vocabulary-*"):
        shutil.copy(path, folder)
    with pytest.raises(ValueError, match=r"has those of 300, 301 pieces; say which by pieces"):
        lr_batch.texts(folder, length=4)
    message = r"vocabulary-301.model does not belong to the data beside it.*--vocabulary 301$"
    with pytest.raises(ValueError, match=message):
        lr_batch.texts(folder, length=4, pieces=PIECES + 1)
    with pytest.raises(ValueError, match=message):
        train_vocabulary(folder, PIECES + 1)
    vocabulary_path(folder, PIECES).write_bytes(vocabulary_path(other, PIECES + 1).read_bytes())
    with pytest.raises(
        ValueError, match="vocabulary-300.model has another hash than when it was learnt; remove"
    ):
        lr_batch.texts(folder, length=4, pieces=PIECES)
    vocabulary_path(folder, PIECES).with_suffix(".json").unlink()
    with pytest.raises(ValueError, match=r"vocabulary-300.model cannot be read"):
        lr_batch.texts(folder, length=4, pieces=PIECES)
    with pytest.raises(ValueError, match="no vocabulary of 9000 pieces, but those of 300, 301; run: lr-"):
        lr_batch.texts(folder, length=4, pieces=9_000)


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        (299, "pieces must be from 300 to 1,048,576, got 299"),
        (30_000, r"30,000 pieces cannot be learnt from .*: it has text for \d,?\d* at most$"),
    ],
)
def test_pieces_that_cannot_be_are_one_line(folder, pieces, message):
    with pytest.raises(ValueError, match=message):
        Data("prepare", "lm1b", vocabulary=pieces)()


def model():
    """Logits of the next token from a table."""
    return (
        lambda key: {"table": jnp.zeros((PIECES, PIECES))},
        lambda params, x: params["table"][x],
    )


def language_model(train, held_out):
    return lr_batch.from_arrays(
        model(),
        train=train[:2],
        held_out=held_out[:2],
        weights=(train[2], held_out[2]),
        loss=optax.softmax_cross_entropy_with_integer_labels,
        goal="loss<3",
        name="texts",
    )


def test_streamed_and_resident_texts_are_one_study(folder):
    columns, held_out = (lr_batch.texts(folder, split, length=LENGTH) for split in ("train", "test"))
    streamed = language_model(columns, held_out)
    held = language_model(tuple(map(np.asarray, columns)), held_out)
    assert lr_batch.streamed(streamed, True) is streamed and isinstance(
        streamed.eval_data["weights"], np.ndarray
    )
    study = lambda workload: lr_batch.Study(
        workload, sgd, batch_sizes=(4,), space={"learning_rate": (1.0,)}, seeds=1
    )
    assert Identity.of(study(streamed), 1, "vmap") == Identity.of(study(held), 1, "vmap")
    assert data_hash(streamed) == data_hash(lr_batch.streamed(streamed, False))
    windows = Windows(0, 4, 8, 0, 30)
    for number in (0, 9):
        of_columns, of_arrays = (windows.read(number, one.train_data) for one in (streamed, held))
        jax.tree.map(np.testing.assert_array_equal, of_columns, of_arrays)
    jax.tree.map(np.testing.assert_array_equal, read_whole(streamed.train_data), held.train_data)


def test_weights_of_records_are_float32(folder):
    columns = lr_batch.texts(folder, length=LENGTH)
    with pytest.raises(
        ValueError, match="weights of train must be float32 where they are read from records, got int32"
    ):
        language_model((*columns[:2], columns[1]), tuple(map(np.asarray, columns)))


def test_panels_read_prepared_texts(folder):
    assert data_state("lm1b") == "prepared"
    tiny = PANELS["lm1b_transformer"].workload("tiny")
    assert tiny.name == "lm1b_transformer-tiny" and not tiny.stand_in and len(tiny.eval_data["x"]) == 9
    assert tiny.train_data["x"].shape == (60, 16) and int(tiny.train_data["x"][0][0]) == 256
    with pytest.raises(
        ValueError, match="no vocabulary of 32768 .*: lr-batch data prepare lm1b --vocabulary 32768"
    ):
        PANELS["lm1b_lstm"].workload()
    with pytest.raises(DataNotPrepared, match="c4 is not prepared in .*lr-batch data prepare c4 --from DIR"):
        PANELS["common_crawl_transformer"].workload()


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    return tmp_path


def test_c4_is_read_from_its_files_of_json(empty):
    for split, count in (("train", 40), ("validation", 5)):
        rows = [{"text": text, "url": "u", "timestamp": "t"} for text in sentences(1, count)]
        with gzip.open(empty / f"c4-{split}.00000-of-00001.json.gz", "wt") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    folder = prepare("c4", empty, pieces=PIECES)
    assert folder == empty / "tfds" / "c4" / "en" / "3.1.0" and data_state("c4") == "prepared"
    assert {text.decode() for text in _raw(folder)} == {*sentences(1, 40)}
    assert PANELS["common_crawl_transformer"].workload("tiny").eval_data["x"].shape == (5, 16)


def test_texts_of_ones_own_are_cut_at_empty_lines_and_the_last_are_held_out(empty):
    source = empty / "source"
    source.mkdir()
    (source / "a.txt").write_text("\n\n".join(sentences(2, 30)))
    (source / "b.html").write_text("<title>no</title><p>" + "</p><p>".join(sentences(3, 10)) + "</p>")
    (source / "picture.png").write_bytes(b"\x89PNG")
    folder = prepare("my_texts", source, pieces=PIECES)
    train = [text.decode() for text in _raw(folder)]
    assert {*train} == {*sentences(2, 30)[:27], *sentences(3, 10)[:9]}
    assert lr_batch.texts(folder, "validation", length=LENGTH)[0].shape == (4, LENGTH)
    with pytest.raises(ValueError, match="is there already; remove it first"):
        prepare("my_texts", source, pieces=PIECES)


def test_text_in_another_encoding_is_one_line(empty):
    path = empty / "a.txt"
    path.write_bytes(b"One.\n" + "Käse.\n".encode("latin-1"))
    for read in (text_of, lambda path: list(lines_of(path))):
        with pytest.raises(
            ValueError, match=r"a.txt line 2 is not in UTF-8 \(byte 0xe4\): write it in UTF-8 first"
        ) as error:
            read(path)
        assert "\n" not in str(error.value)
    (empty / "wide.txt").write_text("One.", encoding="utf-16")
    with pytest.raises(ValueError, match=r"wide.txt line 1 is not in UTF-8 .*iconv -f UTF-16 -t UTF-8"):
        text_of(empty / "wide.txt")
    (empty / "wide.txt").unlink()
    with pytest.raises(ValueError, match="line 2 is not in UTF-8"):
        prepare("my_texts", empty, cut="lines")
    assert not (empty / "tfds" / "my_texts").exists() or not [*(empty / "tfds" / "my_texts").rglob("*.json")]
    (empty / "b.txt.gz").write_bytes(gzip.compress(b"One.\n" * 999)[:-12])
    with pytest.raises(ValueError, match=r"b.txt.gz cannot be read behind line \d+: "):
        text_of(empty / "b.txt.gz")


@pytest.mark.parametrize(
    ("files", "name", "message"),
    [
        ({}, "lm1b", "has no training-monolingual.tokenized.shuffled/news.en-*"),
        ({}, "c4", "has no c4-train"),
        ({}, "own", "has no text for train; give files in UTF-8 that end in .txt"),
        ({"a.txt": "alone"}, "own", "has no text for train; .* with at least two texts"),
        (
            {"train/a.txt": "one"},
            "own",
            "has the folder 'train'; give files of text alone, or train/ and validation/",
        ),
        (
            {"c4-train.0.json": "[]\n", "c4-validation.0.json": "[]\n"},
            "c4",
            "c4-train.0.json line 1 is no document of C4",
        ),
    ],
)
def test_what_is_missing_is_one_line(empty, files, name, message):
    source = empty / "source"
    source.mkdir()
    for path, text in files.items():
        (source / path).parent.mkdir(exist_ok=True)
        (source / path).write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        prepare(name, source, pieces=PIECES)
    assert "\n" not in str(error.value)


def test_parts_of_texts_and_pages():
    assert cut_texts("\ufeffa\n b\n\n\n c \n", "lines") == ["\ufeffa", "b", "c"]
    assert seen_text("<script>x</script><h1>One</h1>two<br>three<style>y</style>") == "One\n\ntwo\n\nthree"
