"""Operators' acts on people, for every surface: the shell, the chat and the operators' page.

orders.py   the acts of dbcore/people, with the jobs that tell the people concerned
finding.py  the search of dbcore/people, and what Redis knows besides: jobs by their reference, and what waits
"""
