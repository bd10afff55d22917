"""What a study would make, and how far each of its points is."""
