"""The daemon's JSON-RPC 2.0 interface: one table of methods, and a conversation that serves it."""
