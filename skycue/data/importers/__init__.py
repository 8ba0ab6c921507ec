"""Readers of published datasets that turn their files into region records."""
