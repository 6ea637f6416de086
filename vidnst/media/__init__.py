"""Files and pixels: probing, decoding, adjusting, effects, drawing and encoding."""
