"""The page of ``avcurate view``: rows of one or two runs, searched, filtered, shown with their clips."""
