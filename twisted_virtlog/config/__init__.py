"""The configuration file: libvirt's grammar, libvirt's keys, and some of our own."""
