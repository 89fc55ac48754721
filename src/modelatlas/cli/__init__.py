"""The command line: each command parses and delegates; `render` prints; `app` turns errors into exit codes."""
