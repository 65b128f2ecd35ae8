"""Running tasks that can be pickled, on an unpatched CPython."""
