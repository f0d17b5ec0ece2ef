"""Runs the command as ``python -m twisted_virtlog.cli``."""

from twisted_virtlog.cli.main import main

main()
