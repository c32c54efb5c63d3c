"""A training problem and its parts."""
