"""Load for a running daemon: a stress test of its promise, and benchmarks."""
