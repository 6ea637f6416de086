"""The backbones: their tables of layers, their weights, and the network."""
