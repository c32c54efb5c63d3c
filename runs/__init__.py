"""What people run: the command line, recipes, the store, figures, the report."""

__all__ = ["Store"]


def __getattr__(name: str):
    """`runs.Store` is imported when it is used: it needs JAX, and `lr-batch --help` should not wait for it."""
    if name != "Store":
        raise AttributeError(f"module 'runs' has no attribute {name!r}")
    from runs.store import Store

    return Store
