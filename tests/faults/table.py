"""What became of every fault: a line for each job, in as many files as there were processes, and their table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.faults.jobs import Job
from tests.faults.outcomes import AGAIN, DONE, FAULTS, REFUSED, WHOLE, Outcome

Found = dict[Job, list[Outcome]]
ENDING = ".jsonl"
COLUMNS = (WHOLE, AGAIN, DONE, REFUSED)


def record(job: Job, outcomes: list[Outcome], seed: int) -> str:
    """One line of a file of outcomes."""
    return json.dumps({"seed": seed, "job": job, "outcomes": outcomes}) + "\n"


def recorded(folder: Path, seed: int) -> Found:
    """All outcomes of a seed in the files of a folder; a line that a killed process left half written is none."""
    found: Found = {}
    for path in sorted(folder.glob(f"*{ENDING}")):
        for line in path.read_text().splitlines():
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if said["seed"] == seed:
                found[Job(*said["job"])] = [Outcome(*outcome) for outcome in said["outcomes"]]
    return found


def table(found: Mapping[Job, Iterable[Outcome]]) -> dict[str, dict[str, int]]:
    """Outcomes of each class, counted."""
    counts: dict[str, Counter[str]] = {}
    for job, outcomes in found.items():
        counts.setdefault(job.kind, Counter()).update(outcome.kind for outcome in outcomes)
    return {kind: dict(counter) for kind, counter in counts.items()}


def faults_of_ours(counts: Mapping[str, Mapping[str, int]]) -> int:
    return sum(outcomes.get(name, 0) for outcomes in counts.values() for name in FAULTS)


def as_markdown(counts: Mapping[str, Mapping[str, int]]) -> str:
    """The table as it stands in README.md.

    >>> print(as_markdown({"store": {"nothing lost": 2, "traceback": 1}}))
    | fault | times | nothing lost | ran again | done as asked | refused in one line | faults of ours |
    |---|---|---|---|---|---|---|
    | store | 3 | 2 |  |  |  | 1 |
    """
    lines = ["| " + " | ".join(("fault", "times", *COLUMNS, "faults of ours")) + " |", "|---" * 7 + "|"]
    for kind, outcomes in counts.items():
        ours = faults_of_ours({kind: outcomes})
        cells = [sum(outcomes.values()), *(outcomes.get(name, "") for name in COLUMNS), ours or ""]
        lines.append(f"| {kind} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)
