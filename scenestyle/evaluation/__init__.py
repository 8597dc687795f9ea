"""Judge one restyled scene: render what is to be seen, measure it, and prepare its report."""
