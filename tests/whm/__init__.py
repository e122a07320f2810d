"""WHM: the entry in its menu, and the way from there into the panel."""
