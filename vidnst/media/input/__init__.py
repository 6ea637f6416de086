"""Sources: probed, decoded, cut into shots."""
