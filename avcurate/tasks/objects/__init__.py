"""What is in the picture: detections as evidence, and object sets made of them."""
