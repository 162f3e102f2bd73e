"""Photos for a data set: found by a search, in a table or in a folder, and kept once each."""
