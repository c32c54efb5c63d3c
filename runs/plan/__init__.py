"""How many devices, and which batch size on them: `lr-batch plan`."""
