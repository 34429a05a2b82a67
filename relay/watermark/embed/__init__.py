"""The embedder: a source in, two marked variants of every segment of every rendition out. Needs PyAV and OpenCV."""
