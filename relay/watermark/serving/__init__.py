"""Watermarked streams at the edge: which variant each session gets, and what is kept of that."""
