"""Chunks and their results as files: the same study, the same rows, and every change is noticed."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from command_line import MODEL
from handed_out import tasks_of, tiny
from store_chunks import assert_same, make_chunk, make_result

from lr_batch.engine import ChunkPlan, Identity
from runs.workers import documents, outcome
from runs.workers.errors import Damaged, Unfit
from runs.workers.specification import Sources, Terms, of_study, specification, study_of, task_of

# Fields of a study that its identity compares, or that only a plan needs.
NOT_COMPARED = {"workload", "optimizer", "seeds", "lanes", "extend", "follow", "notes", "design"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"goal": "error<0.5", "budget": "10epochs", "slack": float("inf"), "reached": "first"},
        {"evaluation_share": 0.125, "evaluation_growth": 0.2},
        {
            "schedule": "cosine",
            "space": {"learning_rate": (0.1, 1.0), "decay_steps": ("50%",), "warmup": ("5%",)},
        },
        {
            "regularizer": "l2",
            "optimizer": "momentum",
            "space": {"learning_rate": (0.1,), "momentum": (0.9,)},
        },
    ],
)
def test_a_specification_is_the_study_again(model, changes):
    study = tiny(model, **changes)
    given = Sources(f"{model}:workload", study.optimizer.name)
    task = ChunkPlan.of(study).tasks(4, 1, study.settings, first=17.5)[0]
    said = json.loads(json.dumps(specification(of_study(study, given), task, Terms())))
    assert task_of(said) == task
    again = study_of(said, task.chunk.identity)
    assert Identity.of(again, 3, "vmap") == Identity.of(study, 3, "vmap")
    for field in sorted({field.name for field in dataclasses.fields(study)} - NOT_COMPARED):
        assert getattr(again, field) == getattr(study, field), field


def test_a_changed_specification_is_refused(model):
    study = tiny(model)
    said = specification(of_study(study, Sources("digits_mlp", "sgd")), tasks_of(study)[0], Terms())
    with pytest.raises(Damaged, match="holds another one"):
        task_of({**said, "seed": 5})


def test_a_worker_refuses_what_is_another_study_for_it(model, tmp_path):
    study = tiny(model)
    task = tasks_of(study)[0]
    said = specification(of_study(study, Sources(f"{model}:workload", "sgd")), task, Terms())
    with pytest.raises(Unfit, match="its goal is"):
        study_of({**said, "study": {**said["study"], "goal": ["loss", 0.25, False]}}, task.chunk.identity)
    (tmp_path / "my.py").write_text(MODEL + "\n")
    with pytest.raises(Unfit, match="is not the file that the study was begun with"):
        study_of(said, task.chunk.identity)
    (tmp_path / "my.py").unlink()
    with pytest.raises(Unfit, match="is not on this machine"):
        study_of(said, task.chunk.identity)


def test_results_come_back_as_they_were():
    chunk = make_chunk()
    document = json.loads(json.dumps(outcome.of_rows(chunk, make_result(chunk))))
    assert_same(outcome.rows_of(chunk, document), make_result(chunk))
    with pytest.raises(Damaged, match="cannot be read"):
        outcome.rows_of(make_chunk(rates=(0.1,)), document)


def test_a_flipped_bit_is_noticed(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "result.json"
    whole = documents.encoded(outcome.of_rows(make_chunk(), make_result(make_chunk())))
    for _ in range(200):
        data = bytearray(whole)
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        with pytest.raises(Damaged):
            documents.read(path)
