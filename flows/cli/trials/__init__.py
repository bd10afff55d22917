"""The commands that try several things and say which is best: codecs, or a grid of options."""
