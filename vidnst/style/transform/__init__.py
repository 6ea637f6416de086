"""A feed-forward network that paints a frame in one pass, trained on a clip's own frames."""
