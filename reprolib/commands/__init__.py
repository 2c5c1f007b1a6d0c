"""The command line: a module for each group of commands; each parses, calls and prints."""
