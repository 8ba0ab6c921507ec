"""Runs the command line as `python -m skycue`."""

from skycue.cli.app import main

main()
