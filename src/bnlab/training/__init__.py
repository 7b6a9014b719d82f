"""The engine: many runs of one shape trained as one program; a lone run is a stack of one."""
