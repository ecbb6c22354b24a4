# SPDX-License-Identifier: BSD-2-Clause
"""How a tool ends: what a user can mend, and what was tried and failed, are one line each."""

import os
import sys

INTERRUPTED = 130


class Problem(Exception):
    """Something is missing or wrong, and a user can mend it; the text is the line."""


class Failed(Exception):
    """What was run did not do what it has to; the text says what."""


def report(name, main, argv):
    """The exit status of main(argv); what it raises becomes a line of the tool `name`."""
    try:
        return main(argv) or 0
    except Failed as failed:
        sys.stdout.flush()
        sys.stderr.write(f"{name}: FAILED: {failed}\n")
        return 1
    except Problem as problem:
        sys.stderr.write(f"{name}: {problem}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"{name}: {error.filename or 'system'}: {error.strerror or error}\n")
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED


def readable_file(path, what):
    """Returns path if it is a file that can be read, else says what is wrong with it."""
    if not os.path.exists(path):
        raise Problem(f"{what}: there is no file {path}")
    if os.path.isdir(path):
        raise Problem(f"{what}: {path} is not a file")
    if not os.access(path, os.R_OK):
        raise Problem(f"{what}: {path} cannot be read")
    return path


def last_line(text, otherwise):
    """What a program said last, for a message of one line."""
    return (text.strip().splitlines() or [otherwise])[-1]
