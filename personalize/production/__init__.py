"""Production in the bureau: from blank cards to active ones, with journal, PINs and reports."""
