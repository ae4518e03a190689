"""Makes small `tokenizer.json` files with the library that others make theirs with."""

import json

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = "[PAD] [CLS] [SEP] [UNK] a man is eat ##ing food the stock market".split()


def make_tokenizer(**changes):
    """A WordPiece tokenizer as BERT has it; `changes` replace parts of the file."""
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    file = json.loads(tokenizer.to_str())
    return json.dumps(file | changes).encode()
