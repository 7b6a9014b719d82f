"""Claims: a sentence of a paper, the sweep that tests it, its questions, fixed beforehand, and the picture.

A claim is one file, `configs/experiment/NAME.yaml`. Here it is read (`claim`), turned into runs (`planner`) and
answered (`judging`). Nothing here trains: what is to be trained is a list of jobs.
"""
