"""The logs: from the read end of a guest's pipe to size-rotated files, and back to readers."""
