"""Labels by people: a folder of photos becomes a table to train from, and back."""
