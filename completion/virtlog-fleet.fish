# Completion of virtlog-fleet for fish; what it offers comes from the program itself.
_VIRTLOG_FLEET_COMPLETE=fish_source virtlog-fleet | source
