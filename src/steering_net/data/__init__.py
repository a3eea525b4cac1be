"""Driving logs of people, and the way and road that they show."""
