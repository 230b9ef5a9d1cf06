"""Released transformers as nets of ours, through diffusers' own classes: Stable Audio Open's and
ACE-Step 1.5's, with frame rows beside them.
"""
