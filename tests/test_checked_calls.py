"""What is handed over or returned against an annotation is seen, in functions, closures, methods and dataclasses."""

import dataclasses

import checked_calls
import numpy as np
import pytest
from jaxtyping import Float, TypeCheckError


def plain(number: int, *rest: int, scale: float = 1) -> str:
    return str(number) if scale else number


def product(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, " d"]) -> Float[np.ndarray, " n"]:
    return x @ y if y.any() else y


def adding(more):
    def added(number: "int") -> "int":
        return number + more

    return checked_calls.checked(added)


@dataclasses.dataclass
class Half:
    number: float


X, Y = np.ones((3, 2)), np.ones(2)


@pytest.mark.parametrize(
    "function, right, wrong",
    [
        (plain, [(1,), (1, 2), (True,)], [("1",), (1, "2"), (1.5,)]),
        (product, [(X, Y)], [(X, Y[:1]), (X, 0 * Y), (X[0], Y), (X.astype(int), Y)]),
        (Half, [(1,), (0.5,)], [("1",)]),
    ],
)
def test_every_call_is_checked(function, right, wrong):
    checked = checked_calls.checked(function)
    for arguments in right:
        checked(*arguments)
    for arguments in wrong:
        with _seen():
            checked(*arguments)


def test_a_value_that_is_returned_is_checked_too():
    with _seen():
        checked_calls.checked(plain)(1, scale=0)


def test_closures_of_one_factory_keep_their_own_values():
    one, ten = adding(1), adding(10)
    assert (one(1), ten(1), one.__name__) == (2, 11, "added")
    for closure in (one, ten, adding(0.5)):
        with _seen():
            closure(1 if closure not in (one, ten) else "1")


def _seen():
    """Without `pytest.raises(` in a test itself, which would switch the checks off."""
    return pytest.raises(TypeCheckError)
