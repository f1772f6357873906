"""What happens to a row. One file per stage; none knows a file layout or an executor."""
