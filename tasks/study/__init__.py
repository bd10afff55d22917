"""Studies: a grid over a configuration, whose points are runs that share what they can."""
