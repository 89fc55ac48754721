"""The command line: commands parse and delegate, `render` prints, `app` turns errors into exit codes."""
