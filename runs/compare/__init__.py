"""`lr-batch compare`: several optimizers on one workload."""
