"""Pictures that show what settings do: proof sheets, films of an optimisation, runs side by side."""
