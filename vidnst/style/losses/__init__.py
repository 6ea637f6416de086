"""Loss terms and the objective made of them."""
