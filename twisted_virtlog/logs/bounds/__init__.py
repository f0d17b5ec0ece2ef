"""How much room the logs may take up, and who is refused more of it."""
