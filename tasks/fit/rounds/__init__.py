"""Maps of latents of further rounds: what is measured for each, and the map that is solved.

Rounds come one after the other, as each is fitted on what those before have made of the images.
"""
