"""Options of commands that search: through which ranges, by which strategy."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from runs import parse
from runs.commands.options import WHOLE, optional

if TYPE_CHECKING:
    from hparam import Space
    from lr_batch import Design

Spaces = Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=KIND(LOW,HIGH)")]
Options = Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=VALUE")]


@dataclasses.dataclass(frozen=True)
class SearchOptions:
    """Settings that a search proposes at every batch size, instead of a grid."""

    search: Annotated[str | None, optional("SEARCH")] = None
    """A name of `lr-batch list searches`, such as quasi_random. Default: a grid."""
    space: Spaces = ()
    """What --search looks through, one hyperparameter each time: learning_rate=log(1e-3,10),
    momentum=log1m(0,0.999), decay_steps=linear(10%,100%), end_factor=choice(0.001,0.01,0.1). Default: the optimizer's
    learning rates."""
    trials: Annotated[int | None, WHOLE, optional("INT")] = None
    """Feasible settings of --search at each batch size, each with every seed: one that diverges with half of the seeds
    is asked for again, up to twice as many in all. Those that stop trials early train most for a part of the budget.
    Of population: its members, 16 to a population (--option size=16). Default: 64."""
    option: Options = ()
    """An option of the search, such as levels=5; min_steps=5%, of the budget at each batch size, for the first rung of
    one that ends trials early; interval=5% for the first exchange of a population, whose later ones follow up to half of
    the budget."""
    ask: Annotated[int | None, WHOLE, optional("INT")] = None
    """Settings that a search which learns proposes at a time. Default: 16."""
    search_seed: Annotated[int | None, WHOLE, optional("INT")] = None
    """Of the search's draws. Default: 0."""

    @property
    def given(self) -> dict[str, Any]:
        """What was typed beside the name and the ranges, as `hparam.search_design` takes it."""
        typed = {
            "trials": self.trials,
            "seed": self.search_seed,
            "ask": self.ask,
            "options": dict(map(parse_option, self.option)),
        }
        return {name: value for name, value in typed.items() if value not in (None, {})}

    @property
    def searches(self) -> bool:
        """Whether there is a search.

        Raises:
          UsageError: there is none, but something that belongs to one.
        """
        if self.search is None and (self.space or self.given):
            options = {"seed": "search-seed", "options": "option"}
            name = "space" if self.space else next(iter(self.given))
            raise parse.UsageError(
                f"--{options.get(name, name)} belongs to a search; name one, such as --search quasi_random"
            )
        return self.search is not None

    def without(self, names: Collection[str]) -> tuple[str, ...]:
        """The ranges but for some names."""
        return tuple(text for text in self.space if text.partition("=")[0].strip() not in names)

    def design(
        self, fixed: Mapping[str, Any], default: Mapping[str, Sequence[float]], num_examples: int
    ) -> tuple[Design, dict[str, Any], dict[str, str]]:
        """(what the search proposes, what all settings share, units of searched lengths).

        Args:
          fixed: values that were set, by name.
          default: grid of the optimizer and the regularizer.
          num_examples: of an epoch.
        """
        from hparam import search_design
        from lr_batch import parse_length

        several = [name for name, values in fixed.items() if len(values) != 1]
        if several:
            raise parse.UsageError(
                f"--set {several[0]} takes one value beside --search, got {len(fixed[several[0]])}; search it by --space"
            )
        texts, units = parse.without_units(self.space, num_examples)
        space, shared = complete_space(texts, fixed, default)
        given = self.given
        for name in {"min_steps", "interval"} & set(given.get("options", {})):
            length = parse_length(f"--option {name}", given["options"][name], num_examples)
            given["options"] |= {name: length}
        return search_design(space, str(self.search), **given), shared, units


def complete_space(
    texts: Sequence[str], fixed: Mapping[str, Sequence[Any]], default: Mapping[str, Sequence[float]]
) -> tuple[Space, dict[str, Sequence[Any]]]:
    """What is searched and what is fixed: as typed, and of the default grid what was not named."""
    from hparam import Space, choice, log, parse_space

    typed = parse_space(texts).dimensions if texts else {}
    both = sorted({*typed} & {*fixed})
    if both:
        raise parse.UsageError(f"--space: {both[0]} is searched and fixed at the same time")
    shared, dimensions = dict(fixed), {}
    for name, values in default.items():
        if name in typed or name in fixed:
            continue
        if len(set(values)) == 1:
            shared[name] = tuple(values)
        elif name == "learning_rate":
            dimensions[name] = log(min(values), max(values))
        else:
            dimensions[name] = choice(*values)
    return Space({**dimensions, **typed}), shared


def parse_option(text: str) -> tuple[str, Any]:
    """Reads "eta=4", "explore=0.2", "full_chunks=true", "sampler=gp"."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier() or not value:
        raise parse.UsageError(f"--option: must look like eta=4, got {text!r}")
    if value in ("true", "false"):
        return name, value == "true"
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value
