"""The texture of one sound in another: spectra, random features, chunks, and the optimisation of samples."""
