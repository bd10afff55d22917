"""Large images have the images and numbers that the pass over small ones gives."""
