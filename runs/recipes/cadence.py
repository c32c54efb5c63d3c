"""How much the answer follows the cadence of evaluations, by the rule of reaching a goal.

    python -m runs.recipes.cadence --out runs/results/cadence

Three workloads, loss and error goals, both rules; evaluated twice as densely as by default, by default, and half as
densely; and by the average also on all held-out rows each time, where evaluations otherwise keep to their share of the
time. With the average in log step the critical batch size should move by less than 5 % and the fewest examples by
less than 7 %; with the first evaluation both grow with the distance. Ratios have intervals, seeds being paired: what
the cadence does to one seed is mostly chance, so that it takes `--seeds 40` to know a ratio to 5 %. About an hour on
two cores; what `table.json` holds already is not measured again. `--quick` is a small network at four batch sizes, in
a minute.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runs.xla_flags import set_xla_flags

set_xla_flags()  # before JAX is imported

import lr_batch
from lr_batch import CriticalBatchSize, Study
from runs.text import Printer, table
from runs.write import write_json

FACTORS = (0.5, 1.0, 2.0)  # of the rule's own distance between evaluations
RULES = ("average", "first")


class Setting(NamedTuple):
    workload: str
    goal: str
    batch_sizes: tuple[int, ...] | None  # None: the workload's
    seeds: int


SETTINGS = (
    Setting("digits_mlp", "loss<0.2", None, 12),
    Setting("digits_mlp", "error<0.05", None, 12),
    Setting("digits_cnn", "loss<0.2", (1, 4, 16, 64, 256, 1024), 8),
    Setting("digits_cnn", "error<0.05", (1, 4, 16, 64, 256, 1024), 8),
    Setting("pydoc_lm", "loss<2.8", (1, 4, 16, 64, 256), 8),
    Setting("pydoc_lm", "error<0.75", (1, 4, 16, 64, 256), 8),
)
QUICK = (Setting("digits_mlp", "loss<0.6", (4, 16, 64, 256), 2),)


class Row(NamedTuple):
    """B_crit and E_min at one cadence, and their ratios (best, low, high) to those at the rule's own; `share` of the time
    that evaluations may take, 1 where each reads all held-out rows."""

    workload: str
    goal: str
    reached: str
    growth: float
    share: float
    b_crit: float
    e_min: float
    b_crit_ratio: tuple[float, float, float]
    e_min_ratio: tuple[float, float, float]
    seeds: int


def rows(setting: Setting, reached: str) -> list[Row]:
    """One row for each factor, and one for evaluations of all rows where the others read parts."""
    study = Study(
        workload=setting.workload,
        goal=setting.goal,
        batch_sizes=setting.batch_sizes,
        seeds=setting.seeds,
        reached=reached,
    )
    programs, share = lr_batch.Programs(), study.evaluation_share
    variants = [(factor * study.evaluation_growth, share) for factor in FACTORS]
    variants += [(study.evaluation_growth, 1.0)] if share < 1 else []
    found = {}
    for growth, part in variants:
        changed = dataclasses.replace(study, evaluation_growth=growth, evaluation_share=part)
        found[growth, part] = lr_batch.critical_batch_size(lr_batch.run(changed, programs=programs))
    own = found[study.evaluation_growth, share]
    return [
        Row(
            *(setting.workload, setting.goal, reached, growth, part, critical.value, critical.e_min),
            *_ratios(critical, own),
            setting.seeds,
        )
        for (growth, part), critical in found.items()
    ]


def _ratios(critical: CriticalBatchSize, own: CriticalBatchSize) -> Iterator[tuple[float, float, float]]:
    """Of B_crit and of E_min, the studies having one grid of rates."""
    for ratio in lr_batch.ratio(critical, own, ("critical_batch_size", "e_min"), same_grid=True).values():
        yield ratio.best, ratio.low, ratio.high


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, help="folder for table.json")
    parser.add_argument("--workloads", type=lambda said: said.split(","), help="of the three; default: all")
    parser.add_argument("--seeds", type=int, help="of each study, in place of 12 and 8")
    parser.add_argument("--quick", action="store_true", help="one small study, by the average")
    options = parser.parse_args(arguments)
    settings, rules = (QUICK, RULES[:1]) if options.quick else (SETTINGS, RULES)
    found = _kept(options.out)
    for setting, reached in itertools.product(settings, rules):
        known = any((row.workload, row.goal, row.reached) == (*setting[:2], reached) for row in found)
        if not known and (options.workloads is None or setting.workload in options.workloads):
            found += rows(setting._replace(seeds=options.seeds or setting.seeds), reached)
            _keep(found, options.out)
    say_rows(found)
    return found


def _kept(folder: Path | None) -> list[Row]:
    path = folder and folder / "table.json"
    if not path or not path.exists():
        return []
    kept = [Row(**row) for row in json.loads(path.read_text())]
    return [
        row._replace(b_crit_ratio=tuple(row.b_crit_ratio), e_min_ratio=tuple(row.e_min_ratio)) for row in kept
    ]


def _keep(found: Sequence[Row], folder: Path | None) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "table.json", [row._asdict() for row in found])


def say_rows(found: Sequence[Row]) -> None:
    headings = (
        *("workload", "goal", "reached", "distance", "evaluations"),
        *("B_crit", "E_min", "B_crit ratio", "E_min ratio"),
    )
    Printer(sys.stdout)(table(headings, [_cells(row) for row in found], left=3))


def _cells(row: Row) -> tuple[Any, ...]:
    return (
        *row[:3],
        f"{row.growth:.0%}",
        "all rows" if row.share == 1 else f"to {row.share:.0%}",
        f"{row.b_crit:.1f}",
        f"{row.e_min:,.0f}",
        *("{:.3f} ({:.3f} to {:.3f})".format(*ratio) for ratio in (row.b_crit_ratio, row.e_min_ratio)),
    )


if __name__ == "__main__":
    main()
