"""The time left that real studies told, whose steps and times are kept in `recorded/`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from recorded_progress import FOLDER, STUDIES, Look, replayed

# Of all seconds: no one minds what is said of the very last, and studies that are short enough to be kept end with the
# noise of single chunks.
LAST = 0.04


@pytest.mark.parametrize("name", STUDIES)
def test_the_time_left_is_known_within_a_factor_of_two_after_a_tenth_of_the_time(name):
    recorded = json.loads((FOLDER / f"{name}.json").read_text())
    looks = [look for look in replayed(recorded) if look.seconds > known_from(recorded)]
    wrong = [look for look in looks if look.said is None or not is_near(look, LAST * recorded["seconds"])]
    assert len(looks) > 20 and not wrong, wrong


def known_from(recorded: dict[str, Any]) -> float:
    """A tenth of the time; of a grid that grows three times, where the first of its few chunks has ended."""
    grows = sum(kind == "planned" for _, kind, *_ in recorded["events"]) > 1
    first = next(at for at, kind, *_ in recorded["events"] if kind == "done")
    return max(0.1 * recorded["seconds"], first if grows else 0.0)


def is_near(look: Look, last: float) -> bool:
    return 0.5 <= ((look.said or 0.0) + last) / (look.left + last) <= 2.0
