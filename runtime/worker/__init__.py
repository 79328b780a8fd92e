"""Worker processes: forked from a zygote, hosting isolates, with no authority of their own."""
