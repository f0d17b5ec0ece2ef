"""The command twisted-virtlogd: virtlogd's own command line, over the service that twistd runs."""
