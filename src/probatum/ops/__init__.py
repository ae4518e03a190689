"""How is it doing: starting networks, watching them, and showing what they do.

Read next: `children`, `demo`.
"""
