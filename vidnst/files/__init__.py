"""Files and their names: written whole or not at all, of any name, and the weights of networks."""
