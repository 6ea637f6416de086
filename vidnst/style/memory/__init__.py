"""Memory modes, tiling, and memory estimates."""
