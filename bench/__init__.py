"""``python -m bench``: compares this panel with the usual ways to change an MPM, and its history at
a thousand and at a million rows. RESULTS.md describes what is measured and how, with the figures.

Each measuring module has a ``NAME``, a ``TITLE`` and ``measure(report) -> Section``; ``__main__``
finds it.
"""
