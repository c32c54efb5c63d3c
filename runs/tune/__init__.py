"""`lr-batch tune`: the folder and the figures of a search."""
