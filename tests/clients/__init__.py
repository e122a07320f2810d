"""WHM clients that others wrote, as they are published, at work on this panel.

``make clients`` runs them all; ``make test`` runs the one from PyPI.
"""
