"""Reports on runs: measurements, HTML pages, and the server that shows them."""
