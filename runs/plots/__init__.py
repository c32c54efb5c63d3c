"""What figures share: looks, and trials grouped into cells."""
