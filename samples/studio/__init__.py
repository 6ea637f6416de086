"""The drawing behind the samples: textures, strokes, and one module for each picture or clip."""
