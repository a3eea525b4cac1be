"""What is spoken on the wire: bytes and JSON in, SI values out, and back. Pure."""
