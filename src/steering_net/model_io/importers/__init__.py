"""Readers of networks that other programs saved, as data, in the sandbox of `isolated.py`.

Every reader turns its format into the same plain list of layers with their weights, and
`layers.build` makes Keras layers of that list from an allow-list. What is not on it is refused.
"""
