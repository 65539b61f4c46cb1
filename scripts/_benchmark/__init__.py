"""What benchmark.py is made of: clocks, contestants, floors, the comparison, its report."""
