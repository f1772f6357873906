"""A byte-pair tokenizer trained on a few words, for tiny checkpoints."""

_TEXT = """what is shown in the clip and what makes this sound a person a dog a drum a car red green blue yellow one two
three answer the question think look listen reason step by step about see hear then give final inside user system
assistant you are helpful"""
WORDS = _TEXT.split()


def byte_pairs():
    """Trained on the spot; every byte is a token, so any text can be read."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    text = [" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS))]
    raw.train_from_iterator(text, trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False))
    return raw
