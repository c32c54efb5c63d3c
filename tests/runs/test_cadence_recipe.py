"""The recipe of the cadence table, in its quick form."""

import json

import pytest

from runs.recipes import cadence


@pytest.mark.usefixtures("long_training")
def test_a_table_of_three_cadences_and_of_all_rows(tmp_path, capsys):
    rows = cadence.main(["--quick", "--out", str(tmp_path)])
    assert [row.growth for row in rows] == pytest.approx([0.04, 0.08, 0.16, 0.08])
    assert [row.share for row in rows] == [0.25, 0.25, 0.25, 1.0]
    assert rows[3].b_crit != rows[1].b_crit
    assert rows[1].b_crit_ratio == rows[1].e_min_ratio == (1.0, 1.0, 1.0)
    for row in rows:
        assert row.b_crit_ratio[0] == pytest.approx(row.b_crit / rows[1].b_crit)
        assert row.e_min_ratio[0] == pytest.approx(row.e_min / rows[1].e_min)
        assert row.b_crit_ratio[1] <= row.b_crit_ratio[0] <= row.b_crit_ratio[2]
    assert [row["b_crit"] for row in json.loads((tmp_path / "table.json").read_text())] == [
        row.b_crit for row in rows
    ]
    assert "B_crit ratio" in capsys.readouterr().out
    assert cadence.main(["--quick", "--out", str(tmp_path), "--workloads", "none"]) == rows
