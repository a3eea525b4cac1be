"""Which client drives which car, and when it gets which command. Pure."""
