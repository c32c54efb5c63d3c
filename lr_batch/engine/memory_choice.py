"""What a study gives up so that a trial fits into memory."""

from __future__ import annotations

import dataclasses

from lr_batch.engine.memory import fits_at_all
from lr_batch.engine.mesh_choice import with_mesh
from lr_batch.study import Study


def within_memory(study: Study) -> Study:
    """The study over several devices where there are any and a trial is too large for one, see `with_mesh`; else with
    activations that are computed a second time where it does not fit otherwise."""
    study = with_mesh(study)
    if study.remat or fits_at_all(study):
        return study
    lighter = dataclasses.replace(study, remat=True)
    return lighter if fits_at_all(lighter) else study
