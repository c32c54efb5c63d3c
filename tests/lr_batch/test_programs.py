"""Programs that are kept between runs."""

import dataclasses

import jax
import numpy as np
from tiny import tiny_study

import lr_batch

SMALL = dict(batch_sizes=(8,), space={"learning_rate": (0.3, 1.0)}, seeds=1, lanes="vmap")


def test_a_second_run_compiles_nothing_and_gives_the_same():
    programs = lr_batch.Programs()
    study = tiny_study(**SMALL)
    first = lr_batch.run(study, programs=programs)
    again = lr_batch.run(study, programs=programs)
    assert (first.engine.programs_compiled, again.engine.programs_compiled) == (2, 0)
    assert len(programs.compile_seconds) == 2
    np.testing.assert_array_equal(again.steps_to_goal, first.steps_to_goal)
    alone = lr_batch.run(study)
    np.testing.assert_array_equal(alone.steps_to_goal, first.steps_to_goal)


def test_only_studies_of_the_same_program_and_data_share_an_engine():
    programs, study = lr_batch.Programs(), tiny_study(**SMALL)
    engine = lambda study, width=2, evals=9: programs.engine(study, width, "vmap", max_evals=evals)
    mine = engine(study)
    assert engine(dataclasses.replace(study, seeds=3, slack=7.0, goal="loss<0.1")) is mine
    data = jax.tree.map(np.negative, study.workload.train_data)
    others = [
        engine(dataclasses.replace(study, workload=study.workload._replace(train_data=data))),
        engine(dataclasses.replace(study, optimizer="sgd")),
        engine(dataclasses.replace(study, goal="error<0.1")),
        engine(study, width=1),
        engine(study, evals=8),
    ]
    assert len({id(engine) for engine in (mine, *others)}) == 6
