"""Follows logs as they grow, and watches which there are."""
