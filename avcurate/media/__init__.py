"""Media files in, arrays out. Decoding happens in ffmpeg child processes that can be limited and killed."""
