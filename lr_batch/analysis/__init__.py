"""What is read off the trials of a study."""
