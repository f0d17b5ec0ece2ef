"""Ships logs of a host to engines that keep those of a fleet: the program ``virtlog-ship``."""
