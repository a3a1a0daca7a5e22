"""What a store holds, for people: in words, and as one page with its pictures."""
