"""The pipes between guests and their logs."""
