"""Compiles the programs of a study and runs its chunks: clocks, threads, memory."""
