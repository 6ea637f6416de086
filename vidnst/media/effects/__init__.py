"""Effects on single frames and their chains: colours, palettes, superpixels, photo transfer."""
