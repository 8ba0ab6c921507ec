"""The command line: one subcommand a file. Thin: it parses, calls floors 4 and 5, and prints."""
