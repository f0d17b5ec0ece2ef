# Completion of virtlogctl for fish; what it offers comes from the program itself.
_VIRTLOGCTL_COMPLETE=fish_source virtlogctl | source
