"""`soundalike completion`, and the answers to a shell that asks what may come next."""

from __future__ import annotations

import os
import string
from collections.abc import Sequence

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    split_arg_string,
)

from soundalike.cli.arguments import argument
from soundalike.cli.commands import command
from soundalike.core.options import ManyOption

__all__ = ["VARIABLE", "answer", "completion"]

VARIABLE = "_SOUNDALIKE_COMPLETE"
"""The environment variable in which the shell says what it asks for."""

# Unlike those of click, these scripts pass words with = and values with commas and spaces.
_BASH = """\
_soundalike_completion() {
    local IFS=$'\\n' kind value
    while IFS=',' read -r kind value; do
        case $kind in
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORD="${COMP_WORDS[COMP_CWORD]}" \\
        _SOUNDALIKE_COMPLETE=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F _soundalike_completion soundalike
"""

_FISH = """\
function _soundalike_completion
    set -l response (env _SOUNDALIKE_COMPLETE=fish_complete COMP_WORDS=(commandline -cp | string collect) \\
        COMP_CWORD=(commandline -ct | string collect) soundalike 2>/dev/null)
    for line in $response
        set -l parts (string split -m 1 , -- $line)
        switch $parts[1]
            case file
                __fish_complete_path $parts[2]
            case dir
                __fish_complete_directories $parts[2]
            case plain
                echo $parts[2]
        end
    end
end
complete --no-files --command soundalike --arguments "(_soundalike_completion)"
"""


class _Words(ShellComplete):
    """Values of options that take several."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """Return what may come next; after `--like a.mp3` this is another value of `--like`."""
        last = next((place for place in reversed(range(len(args))) if args[place].startswith("-")), None)
        if last is not None and args[last] in _many_options(self.cli, args):
            del args[last + 1 :]
        found = super().get_completions(args, incomplete)
        return [one for one in found if one.value.isprintable()]


def _many_options(group: click.Command, args: Sequence[str]) -> set[str]:
    """The options of the named command that take several values."""
    for name in args:
        if isinstance(group, click.Group) and (found := group.get_command(click.Context(group), name)):
            group = found
    return {name for one in group.params if isinstance(one, ManyOption) for name in one.opts}


class _Bash(_Words, BashComplete):
    source_template = _BASH

    def source(self) -> str:
        return _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        # A sign after the cursor keeps an empty word, and a space within quotes.
        *args, last = split_arg_string(os.environ["COMP_LINE"] + "\x1f")
        return args[1:], last.removesuffix("\x1f")

    def complete(self) -> str:
        """Return one value per line as it is inserted: bash replaces only what follows = or : in a word."""
        args, incomplete = self.get_completion_args()
        word = os.environ["COMP_WORD"]
        word = "" if word in ("=", ":") else word
        typed = incomplete.partition("=")[2] if incomplete.startswith("-") and "=" in incomplete else incomplete
        cut = len(typed) - len(word) if typed.endswith(word) else 0
        quote = word[:1] in ("'", '"')
        lines = []
        for item in self.get_completions(args, incomplete):
            value = item.value[cut:] if item.type == "plain" else item.value
            lines.append(f"{item.type},{value if quote else _escaped(value)}")
        return "\n".join(lines)


# Without #, which would begin a comment.
_SAFE = frozenset(f"{string.ascii_letters}{string.digits}_.,=:/@%+-")


def _escaped(value: str) -> str:
    """A value as a word of bash."""
    return "".join(sign if sign in _SAFE or not sign.isascii() else f"\\{sign}" for sign in value)


class _Zsh(_Words, ZshComplete):
    pass


class _Fish(_Words, FishComplete):
    source_template = _FISH

    def source(self) -> str:
        return _FISH


_SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


def answer(root: click.Command, instruction: str) -> int:
    """Print what may come next, for the script of a shell.

    Args:
        root: The command line.
        instruction: What the shell asks for, such as "bash_complete".

    Returns:
        The exit code; 1 if there is nothing to say.
    """
    shell, _, task = instruction.partition("_")
    if shell not in _SHELLS or task != "complete":
        return 1
    try:
        text = _SHELLS[shell](root, {}, "soundalike", VARIABLE).complete()
    except Exception:  # a message, of whatever error, would end up in the line that is being typed
        return 1
    if text:
        click.echo(text.encode(errors="surrogateescape"))
    return 0


@command("completion")
@argument(
    "shell", type=click.Choice(list(_SHELLS)), metavar="SHELL", help="The shell: bash (4.4 or newer), zsh or fish."
)
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print the script with which a shell completes commands, options, spaces, presets and tracks of the library.

    \b
      echo 'eval "$(soundalike completion bash)"' >> ~/.bashrc
      echo 'eval "$(soundalike completion zsh)"' >> ~/.zshrc
      soundalike completion fish > ~/.config/fish/completions/soundalike.fish
    """
    print(_SHELLS[shell](ctx.find_root().command, {}, "soundalike", VARIABLE).source().rstrip())
    return 0
