"""bnlab: what does Batch Normalization really do, and how do you know?"""
