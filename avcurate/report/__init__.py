"""What a run shows a person: terminal summaries and one offline HTML page. Recomputes nothing stored."""
