"""A proposed goal lies between start and end of the training that it was read off."""

import pytest
from tiny import tiny_workload

import lr_batch
from lr_batch.proposal import _eased


@pytest.mark.parametrize("above, eased", [(False, 0.13), (True, 0.12)])
def test_rounded_to_the_easier_side(above, eased):
    assert _eased(0.1234, lr_batch.Goal("m", 0.0, above)) == eased


def test_it_is_reached_late_by_the_setting_it_was_read_off():
    workload = tiny_workload()
    proposal = lr_batch.propose_goal(workload)
    assert proposal.end < proposal.goal.threshold < proposal.start
    study = lr_batch.Study(
        workload=workload,
        batch_sizes=(proposal.batch_size,),
        space={"learning_rate": (proposal.learning_rate,)},
        goal=proposal.goal,
        budget=proposal.steps,
        extend=False,
    )
    result = lr_batch.run(study)
    assert (result.status == "reached").sum() >= 3
    assert (result.steps_to_goal[result.status == "reached"] < 1.5 * proposal.step).all()
