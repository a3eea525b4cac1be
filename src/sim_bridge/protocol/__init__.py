# SPDX-License-Identifier: Apache-2.0
"""Wire formats: payloads of clients in, SI values out, and back. Pure."""
