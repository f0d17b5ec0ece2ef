"""Who is served when: what waits in the reactor, and for how long."""
