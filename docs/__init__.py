"""The documentation, and the programs that write or check the parts made from code."""
