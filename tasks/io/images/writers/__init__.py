"""Image files written: pixels at the depth that a format holds, and what was said beside them."""
