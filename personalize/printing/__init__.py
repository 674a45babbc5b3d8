"""What the bureau prints: proofs of card faces and carriers, and PIN letters; how these are sealed.

typst, segno and fontTools are the extra `rhcard[print]`. They are imported when something is
printed.
"""
