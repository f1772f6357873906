"""What captions invent: CHAIR, F1 and ALOHa."""
