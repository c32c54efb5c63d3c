"""The engine side by side with what one would use instead of it, on the same work: `lr-batch bench`.

Every peer runs in processes of its own (`child`), so that each has the environment that its user would have.
"""
