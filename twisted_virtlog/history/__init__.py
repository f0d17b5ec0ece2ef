"""When the bytes of logs came, and what happened to logs, beside their files."""
