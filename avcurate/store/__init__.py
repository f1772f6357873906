"""Parquet parts on disk, written atomically and checked on read. Knows no column's meaning."""
