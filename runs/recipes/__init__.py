"""Sweep scripts to copy, each with its command, its time and the number to expect."""
