"""Parts that tests and benchmarks share: tiny models, fields and projects that are real."""
