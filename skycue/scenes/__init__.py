"""Prompt methods for scene classification, one a file."""
