"""The law of the best rate in words: its formula, its numbers, its local exponents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lr_batch import Estimate, LearningRateLaw

FAR = 1.5  # factor between laws that fit alike; further apart, neither is better than the rates it was fitted to
SHOWN = 3  # batch sizes at which a sentence gives the local exponent: first, middle, last


def formula_text(law: LearningRateLaw) -> str:
    """The winner with its own numbers and their intervals.

    Such as "rate = 1.37 / (1 + 18.6 / B); r = 1.37 (1.22 to 1.5), K = 18.6 (15 to 23)".
    """
    return f"{law.winner.formula}; {parameters_text(law)}"


def parameters_text(law: LearningRateLaw) -> str:
    """The numbers of the winner with their intervals."""
    won = law.winner
    named = (("r", won.coefficient), ("K", won.knee), ("p", won.power))
    return ", ".join(f"{name} = {x.best:.3g} {_interval(x)}" for name, x in named if x)


def exponents_text(law: LearningRateLaw, batch_sizes: Sequence[int] | None = None) -> str:
    """ "local exponent 0.95 (0.93 to 0.96) at batch 1, 0.54 (0.49 to 0.59) at 16, ..."."""
    sizes = shown_sizes(law) if batch_sizes is None else list(batch_sizes)
    at = [
        f"{e.best:.2f} {_interval(e, '.2f')} at {b:,}"
        for b, e in zip(sizes, law.exponents(sizes).each, strict=True)
    ]
    return f"local exponent {', '.join(at)}".replace(" at ", " at batch ", 1)


def law_text(law: LearningRateLaw) -> str:
    """What can be said of the law: its name and formula, or which ones cannot be told apart."""
    if law.known and len(law.laws) == 1:
        return f"{law.best}: {law.winner.formula}"
    return f"{law.words}; {law.winner.formula}" if law.known else law.words


def line_text(law: LearningRateLaw) -> str:
    """What the line of the winner is, in a legend."""
    if not law.told:
        return "one of several laws that fit alike"
    if not law.fits:
        return "the nearest law, which does not fit"
    formula = law.winner.formula
    return (
        f"law: {formula}" if len(law.laws) == 1 else f"one of {len(law.laws)} laws that fit alike: {formula}"
    )


def law_advice(law: LearningRateLaw) -> str:
    """Which rate to take at a batch size that was not measured: by a formula only as far as one is known."""
    nearest = "For another batch size take the best rate of the nearest one in the table"
    if not law.told:
        return f"{nearest}, since {law.words}."
    if not law.known:
        return f"{nearest}, since {'; '.join(law.notes)}."
    several = "; ".join(fitted.words for fitted in law.laws)
    if law.apart > FAR:
        return (
            f"{nearest}, since laws that fit alike ({several}) differ by a factor of up to {law.apart:.2g}."
        )
    smallest, largest = law.range
    between = f"For another batch size B from {smallest:,} to {largest:,} take {law.winner.formula}"
    if len(law.laws) > 1:
        return (
            f"{between}; the laws that fit alike ({several}) differ there by a factor of {law.apart:.2g} at most. "
            f"For a batch size outside measure first."
        )
    return f"{between}." if law.best == "constant" else f"{between}: {exponents_text(law)}."


def shown_sizes(law: LearningRateLaw) -> list[int]:
    """Smallest, middle and largest batch size that has a best rate."""
    smallest, largest = law.range
    sizes = [o.batch_size for o in law.optima if o.learning_rate and smallest <= o.batch_size <= largest]
    places = {round(i * (len(sizes) - 1) / (SHOWN - 1)) for i in range(SHOWN)}
    return [sizes[i] for i in sorted(places)]


def rate_of_law(law: LearningRateLaw, batch_size: int) -> Estimate:
    """The law's rate at one batch size with its interval."""
    return law.rates([batch_size]).each[0]


def law_summary(law: LearningRateLaw) -> dict[str, Any]:
    """The law for `summary.json`."""
    sizes = [o.batch_size for o in law.optima]
    rates, exponents = law.rates(sizes).each, law.exponents(sizes).each
    return {
        "best": law.best,
        "formula": law.winner.formula,
        "words": law.words,
        "told": law.told,
        "fits": law.fits,
        "level": law.level,
        "reliable": law.reliable,
        "laws": [_parameters(fitted) for fitted in law.laws],
        "ranking": [
            {"law": fitted.name, "score": fitted.score, "p_value": fitted.p_value} for fitted in law.ranking
        ],
        "at": [
            {"batch_size": size, "rate": rate._asdict(), "exponent": exponent._asdict()}
            for size, rate, exponent in zip(sizes, rates, exponents, strict=True)
        ],
        # For one version: the local exponent at the smallest batch size, under the names of version 0.1.
        "exponent": exponents[0].best,
        "low": exponents[0].low,
        "high": exponents[0].high,
    }


def _parameters(fitted: Any) -> dict[str, Any]:
    named = {"coefficient": fitted.coefficient, "knee": fitted.knee, "power": fitted.power}
    numbers = {name: number and number._asdict() for name, number in named.items()}
    return {"law": fitted.name, "formula": fitted.formula, "p_value": fitted.p_value, **numbers}


def _interval(x: Estimate, form: str = ".3g") -> str:
    return f"({x.low:{form}} to {x.high:{form}})"
