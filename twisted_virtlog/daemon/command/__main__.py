"""Runs the command as ``python -m twisted_virtlog.daemon.command``."""

from twisted_virtlog.daemon.command.main import main

main()
