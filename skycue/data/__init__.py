"""Datasets as folders, split files, captions and facts; no model is known here."""
