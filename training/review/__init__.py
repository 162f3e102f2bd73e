"""Photos that a served model was unsure of: taken out of a proxy's sample, labelled, added to the table."""
