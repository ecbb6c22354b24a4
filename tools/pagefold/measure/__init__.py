# SPDX-License-Identifier: BSD-2-Clause
"""What tools/bench measures, a module for each part of it."""
