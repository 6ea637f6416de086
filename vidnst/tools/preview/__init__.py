"""Previews: proof sheets, videos of an optimisation, and clips side by side."""
