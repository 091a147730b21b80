"""Exports everything of a bot, or of one person, as files that say what they are.

files      which files there are, and the query of each
copying    a query's rows into a file as CSV or JSON lines, by the server's own COPY
folder     a folder that is whole or not there
manifest   what the folder holds: rows, sums and checksums
exporting  all of it, from one snapshot
verifying  whether a folder still is what its manifest says
person     one person's data, as one JSON document
"""
