"""Types and shapes are checked at every call of every function, so that annotations stay true.

jaxtyping's import hook decorates the functions. Its own decorator makes two functions from text for each that it
decorates, closures again at each call of their factory, and binds all arguments twice: a fifth of the time of the tests.
This one asks beartype once for the code of a function, and opens a scope for the names of axes only where arrays are
annotated.
"""

import dataclasses
import functools
import typing
from types import FunctionType, SimpleNamespace

import jaxtyping
from beartype import BeartypeConf, beartype

# An int passes as a float (PEP 484).
CONF = BeartypeConf(is_pep484_tower=True, violation_type=jaxtyping.TypeCheckError)
_scope = functools.partial(jaxtyping.jaxtyped, "context")
# By the identity of their code, whose hash takes long: closures differ in what they close over, not in annotations.
_checkers = {}


def install(packages):
    """Decorates all functions and dataclasses of the packages, which are not imported yet."""
    jaxtyping.jaxtyped = lambda *, typechecker: typechecker  # what the hook writes above each of them
    jaxtyping.install_import_hook(packages, "checked_calls.checked")


def check_types(switch):
    jaxtyping.config.update("jaxtyping_disable", not switch)


def checked(decorated):
    """A function that checks its arguments and what it returns; of a dataclass its `__init__`."""
    if isinstance(decorated, type):
        if dataclasses.is_dataclass(decorated):
            decorated.__init__ = checked(decorated.__init__)
        return decorated
    code = decorated.__code__
    if id(code) not in _checkers:
        _checkers[id(code)] = code, *_checker(decorated)
    _, checker, has_arrays = _checkers[id(code)]
    if checker is None:
        return decorated
    typed = FunctionType(checker.__code__, checker.__globals__, decorated.__name__)
    typed.__kwdefaults__ = checker.__kwdefaults__ | {"__beartype_func": decorated}

    @functools.wraps(decorated)
    def called(*args, **kwargs):
        __tracebackhide__ = True
        if jaxtyping.config.jaxtyping_disable:
            return decorated(*args, **kwargs)
        if not has_arrays:
            return typed(*args, **kwargs)
        with _scope():
            return typed(*args, **kwargs)

    return called


def _checker(function):
    """What beartype makes of the function, None where nothing can be checked, and whether arrays are annotated."""
    hints = {name: _resolved(hint, function.__globals__) for name, hint in function.__annotations__.items()}
    twin = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    twin.__kwdefaults__, twin.__annotations__ = function.__kwdefaults__, hints
    twin.__module__, twin.__qualname__ = function.__module__, function.__qualname__
    checker = beartype(conf=CONF)(twin)
    return None if checker is twin else checker, "jaxtyping" in repr(hints)


def _resolved(hint, names):
    """What a text stands for; anything, where its names are known to type checkers alone."""
    try:
        return typing.get_type_hints(SimpleNamespace(__annotations__={"hint": hint}), names)["hint"]
    except Exception:
        return typing.Any
