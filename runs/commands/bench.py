"""`lr-batch bench`: the engine against what one would use instead of it."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro

from runs.bench.work import Work
from runs.commands.options import Flag, Quiet, optional

NOT_KEPT = "interrupted; a benchmark is kept once it is whole: nothing is, the same command begins anew"


@dataclasses.dataclass(frozen=True)
class Bench:
    """Measure how fast the engine is beside the idiomatic loop, PyTorch, a process pool, and the machine's
    bound.

    All on the same study, in processes of their own, in turn. A quiet machine and about 20 minutes for the
    default.
    """

    work: Annotated[Work, tyro.conf.arg(name="")] = Work()
    peers: Annotated[str, tyro.conf.arg(metavar="NAME,NAME,...")] = "serial,torch,pool"
    """What to compare with; torch is left out where it is not installed."""
    rounds: int = 3
    """Turns of every peer."""
    trials: int = 4
    """Sampled trials of every batch size in each turn of a serial peer; the rest is projected."""
    warm: int = 2
    """Runs of the compiled engine in each round."""
    unraced: Annotated[bool, tyro.conf.arg(help_behavior_hint="(default: --unraced)")] = True
    """Also compare without a race, for which some trials are trained to the end of their budget."""
    quick: Flag = False
    """Two short trials: shows that everything works, its numbers mean nothing."""
    out: Annotated[Path | None, optional("DIR")] = None
    """Folder of bench.json and the figure. Default: ./lr-batch-results/bench-WORKLOAD-OPTIMIZER."""
    json: Flag = False
    """Print bench.json alone on stdout."""
    quiet: Quiet = False

    def __call__(self) -> None:
        import jax

        from runs.bench.compare import measure
        from runs.bench.outcome import write_outcome
        from runs.bench.summary import summary
        from runs.bench.table import print_bench
        from runs.folder import default_folder, results
        from runs.progress import say_progress
        from runs.status.news import telling
        from runs.write import json_text

        jax.config.update("jax_platforms", "cpu")  # of this process: the peers need an accelerator's memory
        peers, effort = self.checked()
        work = self.work.quick() if self.quick else self.work.filled()
        about = {**dataclasses.asdict(work), **effort._asdict(), "peers": peers}
        names = (work.study().workload.name, work.optimizer)
        folder = self.out or default_folder("bench", names, about)
        title = f"{work.study().workload.name} with {work.optimizer}, against {', '.join(peers)}"
        with results(folder, "bench", about), telling(folder, title) as teller:

            def say(what: str) -> None:
                teller.say([what])
                say_progress(f"bench: {what}")

            try:
                report = summary(work, effort, measure(work, effort, peers, say))
            except KeyboardInterrupt:
                raise KeyboardInterrupt(NOT_KEPT) from None
            write_outcome(report, folder)
        if self.json:
            print(json_text(report))
            return
        print_bench(report, sys.stdout)
        print(f"\nbench.json, bench.png and report.html: {folder}")

    def checked(self):
        """Peers and effort, or one line that says what is wrong."""
        from runs.bench.compare import QUICK, SERIAL, Effort

        peers = tuple(dict.fromkeys(name.strip() for name in self.peers.split(",") if name.strip()))
        unknown = [name for name in peers if name not in SERIAL]
        if unknown or not peers:
            raise ValueError(f"--peers: must be some of {', '.join(SERIAL)}, got {self.peers!r}")
        for name in ("rounds", "trials", "warm"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name}: must be a whole number >= 1, got {getattr(self, name)}")
        effort = (
            QUICK
            if self.quick
            else Effort(rounds=self.rounds, trials_per_size=self.trials, warm_runs=self.warm)
        )
        return peers, effort if self.unraced else effort._replace(unraced_rates=0)
