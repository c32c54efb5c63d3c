"""The search itself: ask, train, tell, until the cost is spent; then the best settings on fresh seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from hparam.search import FULL, Proposal, State
from hparam.tuning.answer import Answer, answer
from hparam.tuning.confirm import Finalist, confirm
from hparam.tuning.plan import TuningPlan
from hparam.tuning.trainer import Trainer
from lr_batch import ChunkStore, Programs
from lr_batch.engine import HandOut
from optim.arguments import explain_arguments


class Told(NamedTuple):
    """One round: a proposal and the losses that came back. `cost`: steps of all trials up to its end."""

    proposal: Proposal
    losses: Float[np.ndarray, " n"]
    cost: int


class Tuning(NamedTuple):
    """A finished search.

    Attributes:
      plan: what was asked.
      rounds: in their order.
      state: of the search, with everything that was told.
      finalists: the best settings, best in the search first, trained again on fresh seeds.
      trained_steps: steps that this process trained; 0 where all was stored.
      events: chunks that did not fit into memory.
    """

    plan: TuningPlan
    rounds: tuple[Told, ...]
    state: State
    finalists: tuple[Finalist, ...]
    trained_steps: int
    events: tuple[str, ...] = ()

    @property
    def answer(self) -> Answer | None:
        """The setting to use and what it reaches; None where every trial diverged."""
        return answer(self.finalists)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the search and the engine had to say, each once."""
        said = (note for told in self.rounds for note in told.proposal.notes)
        return tuple(dict.fromkeys((*said, *self.events)))


@explain_arguments
def tune(
    plan: TuningPlan,
    store: ChunkStore | None = None,
    on_round: Callable[[State, int], None] = lambda state, cost: None,
    *,
    workers: int | None = None,
    programs: Programs | None = None,
    width: int | None = None,
    hand_out: HandOut | None = None,
) -> Tuning:
    """Searches until `plan.trials` full-length trials are paid for.

    Rounds are synchronous: a proposal depends on the losses before it and not on which worker was faster, so
    the same command gives the same trials, and a store makes it resume.

    Args:
      plan: the search.
      store: keeps finished chunks.
      on_round: called with the state and its cost in steps after each round.
      workers: as for `lr_batch.run`.
      programs: as for `lr_batch.run`; searches over the same study at the same width share them.
      width: lanes of a chunk in `store`, of a search that goes on; the plan's, or fewer that fit, where None.
      hand_out: trains the chunks elsewhere, round by round, see `runs.workers`; here where None.
    """
    trainer = Trainer(plan, store, workers=workers, programs=programs, width=width, hand_out=hand_out)
    rounds, state = [], plan.make_search().init()
    for told, state in search_rounds(plan, trainer.train):  # the last state is the search's
        rounds.append(told)
        on_round(state, told.cost)
    finalists = confirm(plan, state, trainer.train)
    return Tuning(plan, tuple(rounds), state, finalists, trainer.trained_steps, tuple(trainer.events))


def search_rounds(
    plan: TuningPlan, train: Callable[[Proposal], Float[np.ndarray, " n"]]
) -> Iterator[tuple[Told, State]]:
    """Rounds and the state after each, until the next segment would cost more than is left."""
    search, key, limit = plan.make_search(), jax.random.key(plan.seed), plan.trials * plan.study.max_steps
    state, cost = search.init(), 0
    while True:
        with one_blas_thread():
            proposal, asked = search.ask(key, state, plan.ask)
        costs = cost + np.cumsum(steps_of(proposal, plan.study.max_steps))
        affordable = int(np.searchsorted(costs, limit, side="right"))
        if not affordable:
            return
        proposal, cost = proposal.take(slice(affordable)), int(costs[affordable - 1])
        losses = train(proposal)
        state = search.tell(asked, proposal, losses)
        yield Told(proposal, losses, cost), state
        if affordable < plan.ask:
            return


def one_blas_thread():
    """For the models of a search: with a thread pool their small matrices take ten times as long.

    It also keeps a proposal from depending on the number of cores.
    """
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    return threadpool_limits(1, user_api="blas")


def steps_of(proposal: Proposal, budget: int) -> np.ndarray:
    """Optimizer steps of each row."""
    return np.where(proposal.steps == FULL, budget, proposal.steps) - proposal.start
