"""Exports say what the store says, whole or not at all, and run nothing."""

from __future__ import annotations

import csv
import io
import json
import sys

import numpy as np
import pytest

from lr_batch.engine import Chunk
from runs.export import export
from runs.store import Store, StoreError
from tests.runs.store_chunks import IDENTITY, make_chunk, make_result

STUDY = IDENTITY.described() | {"width": 0}


def described(folder) -> Store:
    """A new store that says what it is for."""
    store = Store(folder)
    store.describe(STUDY)
    return store


@pytest.fixture
def study(tmp_path):
    """A folder with eight trials of two chunks; a lane of each has an infinite value."""
    folder = tmp_path / "study"
    with described(folder) as store:
        for batch_size in (4, 8):
            result = make_result(make_chunk(batch_size))
            result.values[1, 0] = np.inf
            store.save(make_chunk(batch_size), result)
    return folder


def test_csv_has_a_row_per_trial_with_all_digits(study, tmp_path):
    assert export(study, tmp_path / "out.csv", "csv").trials == 8
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    expected = make_result(make_chunk(4))
    assert [int(row["batch_size"]) for row in rows] == [4] * 4 + [8] * 4
    assert [float(row["hparam.learning_rate"]) for row in rows[:4]] == [0.1, 0.2, 0.4, 0.8]
    assert [row["status"] for row in rows[:4]] == ["diverged", "outpaced", "outpaced", "reached"]
    assert {(row["workload"], row["optimizer"], row["goal"]) for row in rows} == {
        ("toy", "sgd", "loss < 0.2")
    }
    assert float(rows[1]["last_value"]) == expected.values[-1, 1] and rows[0]["last_value"] == ""
    assert rows[0]["steps_to_goal"] == "" and float(rows[3]["steps_to_goal"]) == expected.steps_to_goal[3]
    assert rows[0]["device"] == "cpu" and rows[0]["version.numpy"] == np.__version__
    assert not any(name.startswith("curve") for name in rows[0])


def test_json_has_the_curves_and_is_strict(study, tmp_path):
    assert export(study, tmp_path / "out.json", "json").trials == 8
    rows = json.loads((tmp_path / "out.json").read_text(), parse_constant=pytest.fail)
    expected = make_result(make_chunk(4))
    assert rows[0]["curve_steps"] == [1]
    np.testing.assert_array_equal(np.float32(rows[3]["curve_values"]), expected.values[:, 3])
    assert rows[0]["steps_to_goal"] is None and rows[3]["steps"] == 32


def test_parquet_has_the_curves(study, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert export(study, tmp_path / "out.parquet", "parquet").trials == 8
    rows = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    values = make_result(make_chunk(4)).values[:, 3]
    np.testing.assert_array_equal(np.float32(rows[3]["curve_values"]), values)
    assert rows[3]["steps_to_goal"] == make_result(make_chunk(4)).steps_to_goal[3]


def test_parquet_without_pyarrow_is_one_line_and_no_file(study, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(StoreError, match="needs pyarrow .*; csv and json need nothing"):
        export(study, tmp_path / "out.parquet", "parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["study"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_text_that_looks_like_a_formula_is_escaped_and_numbers_are_not(tmp_path, start):
    device = f'{start}HYPERLINK("x"),1'
    chunk = Chunk(IDENTITY, 1, 0, ({"learning_rate": -0.5},))
    with described(tmp_path / "study") as store:
        store.save(chunk, make_result(chunk)._replace(device=device, status=("reached",)))
    export(tmp_path / "study", tmp_path / "out.csv", "csv")
    (row,) = csv.DictReader(io.StringIO((tmp_path / "out.csv").read_bytes().decode(), newline=""))
    assert row["device"] == f"'{device}"
    assert row["hparam.learning_rate"] == "-0.5"


def test_trials_with_different_hyperparameters_share_a_table(tmp_path):
    with described(tmp_path / "study") as store:
        for settings in ({"learning_rate": 0.1}, {"learning_rate": 0.1, "momentum": 0.9}):
            chunk = Chunk(IDENTITY, len(settings), 0, (settings,))
            store.save(chunk, make_result(chunk)._replace(status=("reached",)))
    export(tmp_path / "study", tmp_path / "out.json", "json")
    assert [row["hparam.momentum"] for row in json.loads((tmp_path / "out.json").read_text())] == [None, 0.9]


@pytest.mark.parametrize("format", ["csv", "json", "parquet"])
def test_an_empty_study_is_an_empty_table(tmp_path, format):
    if format == "parquet":
        pytest.importorskip("pyarrow")
    described(tmp_path / "study").close()
    assert export(tmp_path / "study", tmp_path / "out", format).trials == 0
    assert (tmp_path / "out").exists()


def test_what_cannot_be_exported_is_one_line(study, tmp_path):
    with pytest.raises(ValueError, match="export: format must be one of csv, json, parquet, got 'xls'"):
        export(study, tmp_path / "out.xls", "xls")
    with pytest.raises(StoreError, match="nothing: there is no such folder|no store.sqlite"):
        export(tmp_path / "nothing", tmp_path / "out.csv", "csv")
    with pytest.raises(StoreError, match="missing/out.csv: No such file or directory"):
        export(study, tmp_path / "missing" / "out.csv", "csv")
    assert [path.name for path in tmp_path.iterdir()] == ["study"]


def test_an_export_reads_while_the_study_runs(study, tmp_path):
    with Store(study) as store:
        store.save(make_chunk(16), make_result(make_chunk(16)))
        assert export(study, tmp_path / "out.csv", "csv").trials == 12
