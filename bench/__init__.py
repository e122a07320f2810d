"""``python -m bench``: this panel beside the ways people change an MPM today, and its history at
a thousand and at a million rows. What is measured, and how, is told in RESULTS.md with the
figures.

Each measuring module has a ``NAME`` to call it by, a ``TITLE`` and ``measure(say) -> Section``;
``__main__`` finds it.
"""
