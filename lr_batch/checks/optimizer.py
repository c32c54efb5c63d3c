"""Whether a user's optimizer can be built, reads what is searched, and steps as parameters want it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import optim
from lr_batch.checks.descent import check_decay, check_descent, check_rate_once, drift, drifted
from lr_batch.checks.not_built import cannot_be_built
from lr_batch.checks.probe import OncePerShapes, name_of, nudged
from lr_batch.checks.pure import differs
from lr_batch.checks.reaches import NUMBER, reaches, reaches_lane
from lr_batch.errors import StudyError
from lr_batch.problem.changes import changes_of, plain_space
from lr_batch.problem.depends import batched_leaves
from lr_batch.problem.workload import PyTree
from lr_batch.study import Study
from optim.arguments import type_of

STEPS = 16  # that are taken at several values of a hyperparameter
LATE = 1_000_000  # steps, by when every warm-up and decay has ended
RATE = "learning_rate"
LARGEST = float(np.finfo(np.float32).max)
SEEN = 0.1  # part of a move by which those at rates that are APART differ at least, though an epsilon may change some
APART = 1e-3  # times the lowest rate: where updates are clipped, a small one is not


def check_optimizer(study: Study) -> list[str]:
    """Traces the optimizer on the workload's parameters; one of the user's own also takes a few steps.

    Raises:
      StudyError: if it cannot be built or traced, ignores a hyperparameter, or changes shapes or dtypes.
    """
    own = set(study.regularizer.hparams) if study.regularizer else set()
    of_schedule = study.schedule.parameters if study.schedule else ()  # they reach whatever the rate reaches
    space = plain_space(study.space)  # what changes within a trial is read as its first value is
    names = [name for name in space if name not in own and name not in of_schedule]
    params = jax.eval_shape(study.workload.init, jax.random.key(0))
    toy = Toy(study, names, params)
    toy.check_shapes()
    if study.optimizer not in optim.OPTIMIZERS.values():
        toy.check_pure()
        check_descent(toy)
        check_decay(toy)
    unread = [name for name in names if not toy.reaches(name)]
    if not (study.regularizer and study.regularizer.stop):  # such a rule ends training and changes no step
        unread += [name for name in space if name in own and not reaches_lane(study, name)]
    if unread:
        raise StudyError(
            f"{study.optimizer_name} does not read {unread[0]} for these parameters: all its values would train the same "
            f"trial; use hparams[{unread[0]!r}] in it, or leave {unread[0]} out"
            + ("" if unread[0] != "learning_rate" else " of its chain and scale by hparams['learning_rate']")
        )
    _refuse_kept(study, toy, names)
    _refuse_vain(study, toy, names)
    if RATE in names and study.optimizer not in optim.OPTIMIZERS.values():
        check_rate_once(toy, RATE)
    return [f"optimizer: {study.optimizer_name} reads {', '.join(space)}; shapes and dtypes stay"]


def _refuse_kept(study: Study, toy: Toy, names: Sequence[str]) -> None:
    """Raises StudyError where what a schedule or a change gives to every step would be read once."""
    kept, changes = {RATE: "a schedule"} if study.schedule else {}, changes_of(study.space)
    kept |= {name: "a change" for name in (changes.names if changes else ()) if name in names}
    for name, what in kept.items():
        if not toy.reads_anew(name):
            raise StudyError(
                f"{study.optimizer.name} keeps its first {name.replace('_', ' ')} in its state, so that {what} does not "
                f"reach its steps; build it from hparams[{name!r}] without optax.inject_hyperparams"
            )


def _refuse_vain(study: Study, toy: Toy, names: Sequence[str]) -> None:
    """Raises StudyError where a user's optimizer reads a hyperparameter that changes none of its steps."""
    if study.optimizer in optim.OPTIMIZERS.values():
        return
    if RATE in names and toy.rests():
        highest = max(study.space[RATE])
        raise StudyError(
            f"{study.optimizer.name} changes no parameter at any of the learning rates, up to {highest:g}, though it "
            f"does at {highest / APART:g}: look for what rounds hparams[{RATE!r}], or take higher ones"
        )
    vain = next((name for name in names if not toy.acts(name)), None)
    if vain:
        way_out = f"let its steps depend on hparams[{vain!r}], or leave {vain} out"
        raise StudyError(
            f"{study.optimizer.name} reads {vain}, but takes the same steps whatever it is: all its values would train "
            f"the same trial; {f'scale the updates by hparams[{RATE!r}]' if vain == RATE else way_out}"
        )


class Toy:
    """The optimizer on the workload's parameters, with a gradient that costs nothing to trace."""

    def __init__(self, study: Study, names: list[str], params: PyTree):
        self.optimizer, self.params, self.study = study.optimizer, params, study
        self.hparams = dict.fromkeys(names, NUMBER)

    def init(self, hparams: Mapping[str, Any], params: PyTree) -> Any:
        return params, jax.tree.map(jnp.asarray, self._transformation(hparams).init(params))

    def step(self, hparams: Mapping[str, Any], state: Any) -> Any:
        params, opt_state = state
        updates, opt_state = self.update(hparams, params, opt_state)
        return optax.apply_updates(params, updates), opt_state

    def update(self, hparams: Mapping[str, Any], params: PyTree, opt_state: Any, grads: Any = None) -> Any:
        value = lambda params, grad_fn=None: sum(
            jnp.sum(jnp.square(leaf)).astype(jnp.float32) for leaf in jax.tree.leaves(params)
        )
        grads = jax.tree.map(jnp.sin, params) if grads is None else grads
        tx = optax.with_extra_args_support(self._transformation(hparams))
        extra = {"value": value(params), "grad": grads, "value_fn": value, "grad_fn": jax.grad(value)}
        stepped = tx.update(grads, opt_state, params, **extra)
        if not (isinstance(stepped, tuple) and len(stepped) == 2):
            raise StudyError(
                f"{self.optimizer.name}: its update must return a pair (updates, state), got {type_of(stepped)}"
            )
        return stepped

    def check_pure(self) -> None:
        """A number that Python draws or counts is built into the program: the same one at every step."""
        if differs(
            lambda hparams, params: self.step(hparams, self.init(hparams, params)), self.hparams, self.params
        ):
            raise StudyError(
                f"{self.optimizer.name} builds other steps each time it is called: what Python draws or counts is one "
                "number for the whole training; keep keys and counters in the state, as optax.add_noise does"
            )

    def check_shapes(self) -> None:
        """Updates must have the shapes of the parameters, and the state must keep its own."""
        _, before = self._traced(self.init, self.hparams, self.params)
        updates, after = self._traced(self.update, self.hparams, self.params, before)
        name = self.optimizer.name
        _check_alike(f"{name}: the update of", "its parameter", updates, self.params, dtypes=False)
        _check_alike(f"{name}: after a step its state", "before it", after, before, dtypes=True)

    def reaches(self, name: str) -> bool:
        """Whether parameters to evaluate at depend on a hyperparameter, sooner or later."""
        rest = {other: number for other, number in self.hparams.items() if other != name}
        two = jax.ShapeDtypeStruct((2,), jnp.float32)
        outcome = lambda state: self.optimizer.eval_params(state[1], state[0])
        init = lambda value, rest, params: self.init({**rest, name: value}, params)
        step = lambda value, rest, state: self.step({**rest, name: value}, state)
        return reaches(init, step, outcome, two, rest, self.params)

    def reads_anew(self, name: str) -> bool:
        """Whether a step depends on a hyperparameter as it is now, and not only as it was at the start."""
        rest = {other: number for other, number in self.hparams.items() if other != name}
        state = jax.eval_shape(self.init, self.hparams, self.params)
        step = lambda value, rest, state: self.step({**rest, name: value}, state)
        two = jax.ShapeDtypeStruct((2,), jnp.float32)
        return any(jax.tree.leaves(batched_leaves(step, (0, None, None), (two, rest, state))))

    def acts(self, name: str) -> bool:
        """Whether a few steps lead elsewhere at other values: what is read times zero is read in vain.

        A rate must act within what is searched. Others may act there too weakly to be seen on these gradients (an
        epsilon) or not yet (a length), so that they are taken to extremes, early and late in training.
        """
        values = self.study.space[name]
        if name == RATE:
            ends = APART * min(values), max(values)
            return self._differ(name, ends) and self._lengths_differ(ends)
        extremes = sorted({0.0, min(values), max(values), max(values) / APART})
        return any(self._differ(name, extremes, late) for late in (False, True))

    def rests(self) -> bool:
        """Whether no rate that is searched changes a parameter, though a much higher one does."""
        highest = max(self.study.space[RATE])
        searched, higher = (self._end(RATE, rate) for rate in (highest, highest / APART))
        return _distance(searched, self.start) == 0 < _distance(higher, self.start)

    def _differ(self, name: str, values: Sequence[float], late: bool = False) -> bool:
        """Whether the values lead to different ends; True where nothing moves, as nothing is known then."""
        ends = [self._end(name, value, late) for value in values]
        at_rest = all(_distance(end, self.start) == 0 for end in ends)
        return at_rest or any(_distance(end, ends[0]) > 0 for end in ends)

    def _lengths_differ(self, rates: Sequence[float]) -> bool:
        """Whether rates lead differently far along one gradient. Where updates are normalised after it, a rate acts on
        their epsilon and rounding alone, from which gradients that turn would make different ends.
        """
        first = {other: jnp.float32(self.study.space[other][0]) for other in self.hparams}
        ends = [drift(self, first | {RATE: jnp.float32(rate)}) for rate in rates]
        rest = jax.tree.map(np.zeros_like, ends[0])
        longest = max(_distance(end, rest) for end in ends)
        blown_up = not np.isfinite(longest)  # a rate is high enough for that: nothing is known of the lengths
        return longest == 0 or blown_up or _distance(*ends) > SEEN * longest

    def _end(self, name: str, value: float, late: bool = False) -> PyTree:
        """Parameters after a few steps at this value of one hyperparameter and the first ones of the others."""
        first = {other: jnp.float32(self.study.space[other][0]) for other in self.hparams}
        value = min(value, LARGEST)  # beyond what is searched
        return self._moved(first | {name: jnp.float32(value)}, self.start, jnp.bool_(late))

    @cached_property
    def start(self) -> PyTree:
        return nudged(jax.jit(self.study.workload.init)(jax.random.key(0)))

    @cached_property
    def drifted(self) -> OncePerShapes:
        """The sum of the updates of a few steps along one gradient, times a sign."""
        return OncePerShapes(lambda *args: drifted(self, *args))

    @cached_property
    def _moved(self) -> OncePerShapes:
        """Parameters to evaluate at after a few steps, from the first one or from a late one."""

        def moved(hparams, params, late):
            def counted(leaf):
                counts = jnp.shape(leaf) == () and jnp.issubdtype(leaf.dtype, jnp.integer)
                return jnp.where(late, LATE, leaf).astype(leaf.dtype) if counts else leaf

            params, opt_state = self.init(hparams, params)
            state = params, jax.tree.map(counted, opt_state)
            params, opt_state = jax.lax.fori_loop(0, STEPS, lambda i, state: self.step(hparams, state), state)
            return self.optimizer.eval_params(opt_state, params)

        return OncePerShapes(moved)

    def _transformation(self, hparams: Mapping[str, Any]) -> optax.GradientTransformation:
        tx = self.optimizer.make(hparams)
        if not (callable(getattr(tx, "init", None)) and callable(getattr(tx, "update", None))):
            raise StudyError(
                f"{self.optimizer.name} must return an optax.GradientTransformation, got {type_of(tx)}"
            )
        return tx

    def _traced(self, function: Callable, *args: Any) -> Any:
        try:
            return jax.eval_shape(function, *args)
        except StudyError:
            raise
        except (Exception, SystemExit) as error:
            raise StudyError(cannot_be_built(self.optimizer, list(self.hparams), error)) from error


def _distance(one: PyTree, other: PyTree) -> float:
    """The largest difference of two numbers; 0 only where all are the same bits, NaN being a value of its own."""
    pairs = [
        (np.asarray(a), np.asarray(b))
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    ]
    if all(a.tobytes() == b.tobytes() for a, b in pairs):
        return 0.0
    apart = float(np.max([np.max(np.abs(a.astype(float) - b), initial=0.0) for a, b in pairs]))
    return apart if apart > 0 else np.inf if np.isnan(apart) else float(np.finfo(float).tiny)


def _check_alike(what: str, than: str, new: PyTree, old: PyTree, *, dtypes: bool) -> None:
    """Raises StudyError where two trees differ in structure, shapes or dtypes."""
    if jax.tree.structure(new) != jax.tree.structure(old):
        raise StudyError(f"{what} the parameters is another tree than {than}: return one leaf for each")
    for (path, a), b in zip(jax.tree.leaves_with_path(new), jax.tree.leaves(old), strict=True):
        name = name_of(path)
        if a.shape != b.shape:
            raise StudyError(f"{what} {name} has shape {a.shape}, {than} {b.shape}: it must keep it")
        wrong = a.dtype != b.dtype if dtypes else not jnp.can_cast(a.dtype, b.dtype, "same_kind")
        if wrong:
            raise StudyError(f"{what} {name} is {a.dtype}, {than} {b.dtype}: it must keep it")
