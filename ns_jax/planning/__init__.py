# SPDX-License-Identifier: Apache-2.0
"""What a train step will cost on TPUs, found out without one.

The step is compiled for a named slice of TPUs on any machine, the compiled
program is taken apart, and what it does is held against what the chips can do.
Nothing here runs a step.
"""
