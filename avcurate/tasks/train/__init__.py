"""Training on curated shards: GRPO, MAPO, SFT."""
