"""Packed files of logs: zstd in frames that can be read from anywhere, and what makes them."""
