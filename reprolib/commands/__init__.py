"""The command line: a module a group. Heavy imports happen inside the commands, so that --help is quick."""
