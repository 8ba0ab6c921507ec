"""Rasters and vectors: coordinates of the map from file to result."""
