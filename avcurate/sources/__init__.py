"""One file per dataset format: raw records in, canonical question rows out. Touches no media."""
