"""Large images: enhanced and measured band by band, and kept on disk."""
