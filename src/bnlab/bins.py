"""Bins of every `…/histogram` in a record, which are measured and drawn far apart."""

import numpy as np

# In units of the nonlinearity's input; the outermost bins take what lies beyond.
HISTOGRAM_EDGES = np.linspace(-12, 12, 97)
