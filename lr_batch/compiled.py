"""A program with the compiler's options that this version of it has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jax


def compiled(lowered: jax.stages.Lowered, options: Mapping[str, Any]) -> jax.stages.Compiled:
    """With those of `options` that this version of the compiler has: they only save time, and names come and go.

    Raises:
      jax.errors.JaxRuntimeError: for an option's value that it does not take, or a program that it cannot compile.
    """
    try:
        return lowered.compile(compiler_options=dict(options))
    except jax.errors.JaxRuntimeError as error:
        unknown = re.search(r"No such compile option: '(\w+)'", str(error))
        if not unknown:
            raise
    return compiled(lowered, {name: value for name, value in options.items() if name != unknown[1]})
