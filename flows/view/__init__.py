"""The page of `dotpipe view`, and the small server that it talks to, on this machine alone."""
