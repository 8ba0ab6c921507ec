"""How methods are compared: which images train, which test, and what stands in the table."""
