"""Search in logs: lines that a regular expression matches, at the speed of grep."""
