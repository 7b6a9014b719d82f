"""The pictures that any set of runs can be drawn as; claims compose theirs from the same parts."""
