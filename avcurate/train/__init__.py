"""Training on curated shards: GRPO and MAPO, PEM rewards, MAAM."""
