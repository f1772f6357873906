"""What people see of a run: terminal summaries and one offline HTML page. Recomputes nothing stored."""
