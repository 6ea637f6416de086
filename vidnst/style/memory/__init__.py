"""Ways to paint with less memory, and how much each needs."""
