"""Measures of quality: arrays in, numbers out; they know no model and no file."""
