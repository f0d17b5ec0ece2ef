"""Clients' sockets: who may connect, and how bytes and descriptors go in and out."""
