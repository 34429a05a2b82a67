"""The mark in a picture: what embedder and analyser must agree on to the last bit. Needs numpy and OpenCV."""
