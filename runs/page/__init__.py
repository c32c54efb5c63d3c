"""The page that every kind of folder has: one self-contained file, its skeleton, its script and its looks."""

from runs.page.page import Chart, Page, write_page

__all__ = ["Chart", "Page", "write_page"]
