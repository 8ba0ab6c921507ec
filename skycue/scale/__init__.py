"""The same inference over an archive of rasters: planned first, then worked off by many processes.

`plan` cuts the archive into units, `parts` keeps the rows of each finished one in a file, `local`
and `ray_engine` start the processes that do them, `crew` hands the units out, `run` joins it all.
"""
