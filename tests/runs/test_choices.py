"""The table of choices in its quick form."""

from __future__ import annotations

import json

import pytest

from lr_batch import Study
from runs.recipes import choices


@pytest.mark.slow
def test_quick_form_and_slack_changes_nothing(tmp_path):
    found = choices.main(["--folder", str(tmp_path)], quick=True)
    slack = found["slack 3"]["ratios"]["critical_batch_size"]
    # Trials are cut at an evaluation, so that the one beyond twice the fastest may differ; answers hardly.
    assert slack["best"] == pytest.approx(1.0, abs=0.25 * (slack["high"] - slack["low"]) + 1e-6)
    assert any("too far apart" in note for note in found["half the rates"]["notes"])
    assert json.loads((tmp_path / "digits_mlp-sgd.json").read_text()).keys() == found.keys()


def test_every_choice_is_a_study():
    default = Study()
    for name, changes in choices.variants(default).items():
        study = Study(**changes)
        assert any(getattr(study, key) != getattr(default, key) for key in changes), name
