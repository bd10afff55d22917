"""Maps of a decoder's activations: what is measured for each level, and the map that is solved.

Levels come one after the other, as each is fitted on the output of those below.
"""
