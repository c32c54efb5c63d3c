"""`lr-batch transfer`: best rates over widths."""
