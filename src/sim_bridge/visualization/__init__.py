"""Pictures of drives and results."""
