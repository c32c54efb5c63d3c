"""`lr-batch curve`: run, outcome, words."""
