"""Pictures for people: contact sheets, charts, videos and the report."""
