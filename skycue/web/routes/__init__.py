"""The routes of the server, one kind of thing a file: they parse, ask the service, and show."""
