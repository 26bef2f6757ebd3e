"""What a search came to: its trials, as a study, a table, pictures, a page."""
