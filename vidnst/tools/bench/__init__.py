"""How fast this machine renders: `report.measure`. What it gives is plain JSON that a later one can be put beside."""
