# SPDX-License-Identifier: Apache-2.0
"""Importers: readers of networks that other programs saved, as data; used in a sandbox.

Each importer turns its format into the same list of layers with weights. `layers.build` makes
Keras layers of that list, and refuses a layer that is not on its allow-list.
"""
