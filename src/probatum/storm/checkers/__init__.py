"""What the network promises, each promise checked after a storm.

A checker reads disks, notebooks, statements and what the witness heard; it repeats no code of the
party that it checks. What does not hold becomes a finding. Read next: `chain`, `answers`,
`memory`.
"""
