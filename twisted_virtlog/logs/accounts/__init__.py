"""What became of every byte of every log: counts that hold at any moment."""
