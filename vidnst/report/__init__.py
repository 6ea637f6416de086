"""What is told about a run: measurements, pages, and the server that shows them."""
