"""Networks as files: read, convert, describe."""
