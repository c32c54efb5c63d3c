"""Gradient noise scales: how large a batch must be before the signal of its gradient outweighs the noise."""
