"""What a program may import from its sandbox: the same names it finds as globals."""
