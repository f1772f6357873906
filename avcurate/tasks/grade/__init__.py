"""Answers of a finished evaluation that no rule on words can score: by a judge, by meaning, by form."""
