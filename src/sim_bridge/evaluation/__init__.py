"""How well a network steers: on recordings and on embedded tracks."""
