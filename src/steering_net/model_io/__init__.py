"""Files of networks: reading, conversion, metadata."""
