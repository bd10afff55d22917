"""Auto-encoders of images: those of diffusers, and others of our own."""
