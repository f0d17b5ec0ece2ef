"""Logs in a browser: a resource for sites of twisted.web, and a program that serves it.

It is a client of the daemon's JSON-RPC socket like any other, and the read-only one suffices.
"""
