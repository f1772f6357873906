"""What is in the picture: stored detections, and object sets derived from them."""
