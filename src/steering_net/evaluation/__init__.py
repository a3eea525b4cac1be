"""How well a network steers on recorded frames."""
