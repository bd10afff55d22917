"""Images of the fit as earlier rounds leave them, where the method is applied again."""
