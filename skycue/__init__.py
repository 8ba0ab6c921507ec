"""Skycue steers vision-language models over aerial and satellite images with two kinds of cue.

A handful of labelled tiles cues a scene classifier (`skycue.scenes`, `skycue.inference`); a
box cues a caption whose phrases own masks (`skycue.regions`, `skycue.region_describer`).
"""

__version__ = "0.1.0"
