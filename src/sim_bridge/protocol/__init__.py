"""Wire formats: payloads of clients in, SI values out, and back. Pure."""
