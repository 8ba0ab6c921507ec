"""The server: HTTP in front of `skycue.service`, and the page."""
