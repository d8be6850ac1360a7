"""How checks are written and told."""

import sys
import traceback


class Counts:
    """Conditions that must hold; those that do not are told."""

    def __init__(self):
        self.passes = self.failures = 0

    def __call__(self, name, condition, detail=""):
        if condition:
            self.passes += 1
        else:
            self.failures += 1
            print(f"FAIL  {name} {detail}", flush=True)

    def end(self):
        print(f"{self.passes} passed, {self.failures} failed")
        sys.exit(1 if self.failures else 0)


class Checks:
    """The calls of a client, one line `call<TAB>result` for each: `yes` or what went wrong."""

    def __init__(self):
        self.failures = 0

    def __call__(self, call):
        """Decorates a function that is one check; it runs at once."""

        def run(function):
            try:
                function()
                print(f"{call}\tyes", flush=True)
            except Exception as error:  # every failure is told, whatever it is
                self.failures += 1
                text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                print(f"{call}\tFAIL {text}", flush=True)
                traceback.print_exc(file=sys.stderr)

        return run

    def limit(self, call, why):
        """Decorates a call that the client itself cannot make; `why` goes into the table."""

        def run(function):
            try:
                function()
            except Exception as error:
                print(f"{call}\tno: {why}", flush=True)
                print(f"{call}: {error}", file=sys.stderr)
                return
            self.failures += 1
            print(f"{call}\tFAIL it works now", flush=True)

        return run

    def end(self):
        sys.exit(1 if self.failures else 0)


def same(got, wanted):
    if got != wanted:
        raise AssertionError(f"got {got!r}, wanted {wanted!r}")


def raises(function, *texts):
    """The error of a call that must fail, with these texts in it."""
    try:
        function()
    except Exception as error:
        for text in texts:
            if text.lower() not in str(error).lower():
                raise AssertionError(f"no `{text}` in {error}") from error
        return error
    raise AssertionError("no error")
