"""Values that are worked out once for the studies that share a program."""

import dataclasses

from tiny import tiny_study

from lr_batch.engine.memo import once_per_program
from lr_batch.engine.memory import chunk_memory


def test_a_value_is_worked_out_again_only_where_it_may_differ():
    asked = []

    @once_per_program("budget")
    def budget(study):
        asked.append(study)
        return study.budget

    study = tiny_study()
    assert budget(study) == budget(dataclasses.replace(study, seeds=study.seeds + 1)) and len(asked) == 1
    assert budget(dataclasses.replace(study, budget=study.budget + 1)) == study.budget + 1
    other = study.workload._replace(loss=lambda params, batch, key: study.workload.loss(params, batch, key))
    budget(dataclasses.replace(study, workload=other))
    assert len(asked) == 3


def test_memory_depends_on_the_micro_batch():
    study = tiny_study(batch_sizes=(16,))
    narrow = dataclasses.replace(study, workload=study.workload._replace(micro_batch=1))
    assert chunk_memory(narrow).step < chunk_memory(study).step
