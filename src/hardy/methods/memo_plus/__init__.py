"""MEMO_PLUS: MEMO over views and over images of which a segmenter's masks leave a part."""
