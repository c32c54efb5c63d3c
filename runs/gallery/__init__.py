"""The figures of a lecture on tuning, each made by a recipe, on one page.

A new one is a module of `runs.recipes` whose `main(out, quick=...)` trains, draws into `out` and returns what it
measured; a function of `runs.gallery.numbers` with the entry's name, which reads off that what the caption says; and an
entry in `runs.gallery.registry`.
"""
