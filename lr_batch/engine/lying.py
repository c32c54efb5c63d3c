"""Which results of operations lie in memory, and from when to when: a model of what a compiler makes of them.

Results of products, reductions, gathers and the like lie in memory from the operation that makes them to the last one
that reads them. Elementwise operations are merged into those that read them, and take memory only where their result
goes into a product or a loop, or is read more than once. Masks and slices are computed again by each operation that
reads them. What is returned takes the place of the argument that it is computed from, as in a loop that carries it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

ELEMENTWISE = frozenset(
    "abs add add_any and bitcast_convert_type broadcast_in_dim ceil clamp convert_element_type copy cos "
    "div eq erf exp exp2 expm1 floor ge gt integer_pow iota is_finite le log log1p logistic lt max min "
    "mul ne neg not or pow real rem round rsqrt select_n shift_left shift_right_arithmetic "
    "shift_right_logical sign sin slice split sqrt square stop_gradient sub tan tanh xor".split()
)
# They write their results to memory, and read elementwise ones that never were in memory.
READERS = ELEMENTWISE | set("argmax argmin pad reduce_max reduce_min reduce_sum".split())
# Not worth their bytes: what they are computed from lies in memory, whoever reads them.
RECOMPUTED = frozenset("and broadcast_in_dim eq ge gt is_finite le lt ne not or slice split xor".split())
# Of LAPACK: what they read is overwritten by what they make.
OVERWRITES = frozenset("cholesky eigh geqrf householder_product lu triangular_solve".split())


class Held(NamedTuple):
    """Bytes that every lane holds for itself, and bytes that lanes hold once since they depend on what they share."""

    own: int
    shared: int

    def of(self, lanes: int) -> int:
        """Bytes of so many lanes."""
        return lanes * self.own + self.shared


class Operation(NamedTuple):
    """The numbers of what it reads and makes, and what it holds by itself, such as the results in a loop's body."""

    name: str
    reads: tuple[int, ...]
    makes: tuple[int, ...]
    within: Held


class Result(NamedTuple):
    """Bytes of a result, and whether every lane has its own."""

    size: int
    own: bool


def most_held(
    operations: Sequence[Operation], results: Sequence[Result], returned: set[int], lanes: int
) -> Held:
    """What is held of the results of operations, beside arguments, at the moment when so many lanes hold most.

    Args:
      operations: in the order in which they are written down.
      results: of all numbers; those that no operation makes are arguments, and lie elsewhere.
      returned: numbers of what is returned.
      lanes: 1 or more.
    """
    # The compiler's order: first what waits for no lane.
    waits = lambda operation: any(results[n].own for n in (*operation.reads, *operation.makes))
    operations = sorted(operations, key=waits)
    written = _written(operations)
    born, last = _lives(operations, written, returned)
    written -= _in_place(operations, results, returned)
    held = [[*operation.within] for operation in operations]
    lying = [(results[number], born[number], last[number]) for number in written]
    for (size, own), first, end in (*lying, *_spread(operations, results, written, born)):
        for i in range(first, min(end + 1, len(held))):
            held[i][0 if own else 1] += size
    return max((Held(*moment) for moment in held), key=lambda moment: moment.of(lanes), default=Held(0, 0))


def _written(operations: Sequence[Operation]) -> set[int]:
    """Results that lie in memory, whenever that is."""
    readers = Counter(number for operation in operations for number in set(operation.reads))
    needed = {n for op in operations if op.name not in READERS for n in op.reads}
    needed |= {n for op in operations if op.name not in RECOMPUTED for n in op.makes if readers[n] > 1}
    return {
        number
        for operation in operations
        for number in operation.makes
        if operation.name not in ELEMENTWISE or number in needed
    }


def _lives(
    operations: Sequence[Operation], written: set[int], returned: set[int]
) -> tuple[dict[int, int], dict[int, int]]:
    """Of each result, the first and the last operation at which it lies in memory."""
    born, last = {}, {}
    sources = {}  # what has to be there when a result is read: itself, or what it is computed from
    for i, operation in enumerate(operations):
        reads = set().union(*(sources.get(number, {number}) for number in operation.reads))
        for number in operation.makes:
            born[number], sources[number] = i, {number} if number in written else reads
        if not (written | returned).isdisjoint(operation.makes):
            last.update(dict.fromkeys((*reads, *operation.makes), i))
    last.update(dict.fromkeys(returned, len(operations)))
    for i, operation in enumerate(operations):
        if operation.name == "cond":  # its branches hold what it makes until it is done
            born.update(dict.fromkeys(operation.makes, i + 1))
        if operation.name in OVERWRITES:
            last.update({number: i - 1 for number in operation.reads if last[number] == i})
    return born, last


def _in_place(operations: Sequence[Operation], results: Sequence[Result], returned: set[int]) -> set[int]:
    """Results that are returned in the place of an argument of their size, from which they come element by element."""
    made = {number for operation in operations for number in operation.makes}
    found: set[int] = set()
    for operation in operations:
        if operation.name in ELEMENTWISE:
            sizes = {results[n].size for n in operation.reads if n not in made or n in found}
            found.update(number for number in operation.makes if results[number].size in sizes)
    return found & returned


def _spread(
    operations: Sequence[Operation], results: Sequence[Result], written: set[int], born: dict[int, int]
) -> Iterator[tuple[Result, int, int]]:
    """Factors that are spread over a product, from where they are computed to where the product is summed.

    A sum of products reads both factors at their full size, on a CPU: the scale of a normalization, its deviations.
    """
    products = {op.makes[0]: op.reads for op in operations if op.name == "mul" and op.makes[0] not in written}
    for i, operation in enumerate(operations):
        if operation.name == "reduce_sum" and (product := operation.reads[0]) in products:
            for factor in products[product]:
                if results[factor].size < results[product].size:
                    whole = Result(results[product].size, results[factor].own)
                    yield whole, born.get(factor, 0), i
