"""Gradient noise scales along a training: `lr-batch noise-scale`."""
