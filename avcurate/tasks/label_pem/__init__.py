"""The main task: label each question's Preferred Evidence Modality."""
