"""What a study could get wrong without an error, checked once on real rows before anything is trained."""

from lr_batch.checks.check import check

__all__ = ["check"]
