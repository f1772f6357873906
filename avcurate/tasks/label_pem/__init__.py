"""The main job: each question's Preferred Evidence Modality."""
