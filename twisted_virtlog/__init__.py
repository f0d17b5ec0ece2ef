"""A virtual machine log manager on Twisted, a drop-in replacement for libvirt's virtlogd.

Guests write into pipes; the daemon moves what they write into size-rotated files and tells, reads
and extends these files for clients of two protocols: JSON-RPC 2.0 and libvirt's own.
"""

__version__ = "0.2.0"
