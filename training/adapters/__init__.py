"""What is learned on top of weights that stay: low-rank changes of linear maps (LoRA), and which
parts of a net are frozen.

Nothing here knows our nets: any module of torch will do, a released transformer's among them.
"""
