"""What a style picture asks of a frame."""
