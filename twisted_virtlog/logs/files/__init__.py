"""A log's files: their names, their rotation, and reading and writing them."""
