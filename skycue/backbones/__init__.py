"""Frozen networks. None of them knows a method."""
