"""Search: one line, one grammar for page, API and saved search.

`keys` is the table of what can be asked, `grammar` reads a line into a tree, `compiled` turns the tree into one
tsquery and conditions on columns, `execute` finds a page of traces by them. The first two are pure.
"""
