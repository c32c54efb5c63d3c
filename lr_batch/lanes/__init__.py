"""Everything that is traced: pure functions without clock, thread or file."""
