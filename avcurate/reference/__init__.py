"""Reference pages generated from the code: commands, recipes, columns."""
