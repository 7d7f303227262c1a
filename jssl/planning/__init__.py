"""What a run takes of machines that are not there: memory, arithmetic, traffic, hours."""
