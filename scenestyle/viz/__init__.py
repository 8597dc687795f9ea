"""Images for people: contact sheets, charts, maps and videos."""
