"""What goes over to the daemon's next image, and how it is given and taken."""
