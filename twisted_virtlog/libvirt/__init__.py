"""libvirt's binary RPC: a codec, programs as tables, and the conversation that serves them."""
