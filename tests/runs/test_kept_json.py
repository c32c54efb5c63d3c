"""JSON that results are read from again: damage of any kind is damage, and never another number."""

import json

import pytest

from runs.bench.outcome import stored_report
from runs.compare.outcome import ranked_by
from runs.kept_json import read_kept, read_object, write_kept
from runs.store import StoreError

NO_OBJECTS = ["", "null", "[]", "3", "NaN", '"text"', "{", "[" * 100_000, "\x00"]
KEPT = {"steps": {4: 0.1, 8: 1e-300}, "none": float("nan"), "rows": [(1, True), "é"]}


def test_what_was_written_is_read_and_says_no_checksum(tmp_path):
    write_kept(tmp_path / "a.json", KEPT)
    assert read_kept(tmp_path / "a.json") == {
        "steps": {"4": 0.1, "8": 1e-300},
        "none": None,
        "rows": [[1, True], "é"],
    }


def test_any_flipped_bit_is_damage(tmp_path):
    path = tmp_path / "a.json"
    write_kept(path, KEPT)
    whole, known = path.read_bytes(), read_kept(path)
    read_otherwise = 0
    for place in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            read_otherwise += {k: v for k, v in read_kept(path).items() if k in KEPT} != known
        except ValueError:
            pass
    assert read_otherwise == 0


@pytest.mark.parametrize("text", NO_OBJECTS)
def test_what_is_no_object_is_damage(text, tmp_path):
    (tmp_path / "bench.json").write_text(text)
    for read in (read_object, read_kept):
        with pytest.raises(ValueError):
            read(tmp_path / "bench.json")
    with pytest.raises(StoreError, match="bench.json: damaged"):
        stored_report(tmp_path)


def test_what_an_earlier_version_wrote_without_a_checksum_is_read(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"a": 1}))
    assert read_kept(tmp_path / "a.json") == {"a": 1}


@pytest.mark.parametrize("text", [*NO_OBJECTS, "{}", '{"ranking": null}', '{"ranking": {"by": "x"}}'])
def test_a_damaged_summary_is_ranked_by_nothing(text, tmp_path):
    (tmp_path / "summary.json").write_text(text)
    assert ranked_by(tmp_path) is None
