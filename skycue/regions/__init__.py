"""The region wing: a box on an image becomes a caption whose phrases own masks."""
