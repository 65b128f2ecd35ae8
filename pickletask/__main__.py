"""The commands of pickletask: ``python -m pickletask --help``."""

import argparse
import sys


def main(arguments=None):
    """Run the command in ARGUMENTS (default: the process's own); the status for the shell."""
    from pickletask import demo

    parser = argparse.ArgumentParser(
        prog="python -m pickletask", description="Running tasks that can be pickled."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    command = commands.add_parser(
        "demo",
        help="a running microthread hops from process to process",
        description="Count the words of some texts in a microthread that several processes share. "
        "At each hop it is pickled where it stands, deep inside calls, loops, a `with` block and "
        "generators, and the next process goes on with it. One of them is killed on the way. The "
        "status is 0 if the result is that of a count without hops, 1 if not, 2 for bad input.",
    )
    demo.add_arguments(command)
    command.set_defaults(run=demo.main)
    options = parser.parse_args(arguments)
    if not hasattr(options, "run"):
        parser.print_help()
        return 0
    return options.run(options)


if __name__ == "__main__":
    sys.exit(main())
