"""Input: sources are probed, decoded and split into shots."""
