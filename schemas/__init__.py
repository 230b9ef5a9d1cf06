"""The nouns of Obbligato: frozen records, closed vocabularies and the sample contract.

No input or output.
"""
