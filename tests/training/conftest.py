# SPDX-License-Identifier: Apache-2.0
"""Makes the toy stage importable by the tests beside it."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
