"""`lr-batch regularize`: strength against held-out performance."""
