"""One vocabulary of objects for annotations, detections and captions."""
