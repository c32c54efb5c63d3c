"""The figures of a lecture on tuning, each made by a recipe, on one page."""
