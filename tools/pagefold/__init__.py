# SPDX-License-Identifier: BSD-2-Clause
"""What the Python tools share; tools/NAME and the entries below tests/ are its commands."""
