"""The command `scenestyle`: one module per subcommand."""
