"""Images made anew as they come in: in another size, or in the colours of sRGB."""
