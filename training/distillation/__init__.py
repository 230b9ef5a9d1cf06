"""Distillation: a student learns to jump along its teacher's way, from any time to any other
(consistency trajectories: D. Kim et al. 2024, arXiv 2310.02279; of sound: K. Saito et al. 2024,
SoundCTM, arXiv 2405.18503).
"""
