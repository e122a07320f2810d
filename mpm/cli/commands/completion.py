"""Shell completion, generated from the argument parser."""

from __future__ import annotations

import argparse

SHELLS = ("bash", "zsh", "fish")

_BASH = """\
_ea4mpm() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}"
  local place="${{COMP_WORDS[1]}}" offered=""
  case " {groups} " in
    *" $place "*) [ "$COMP_CWORD" -gt 2 ] && place="$place ${{COMP_WORDS[2]}}" ;;
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    offered="{commands}"
  elif [ "$before" = --server ]; then
    offered="$(ea4mpm server list --json 2>/dev/null | \\
      sed -n 's/^ *"name": "\\(.*\\)",$/\\1/p')"
  else
    case "$place" in
{cases}
    esac
  fi
  COMPREPLY=($(compgen -W "$offered" -- "$word"))
}}
complete -F _ea4mpm ea4mpm
"""
_ZSH = """\
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
autoload -Uz bashcompinit && bashcompinit
"""
_FISH = """\
function __ea4mpm_servers
  ea4mpm server list --json 2>/dev/null | sed -n 's/^ *"name": "\\(.*\\)",$/\\1/p'
end
function __ea4mpm_at
  set -l words (commandline -opc)
  set -l last (math 1 + (count $argv))
  test "$words[2..$last]" = "$argv"
end
complete -c ea4mpm -f
"""


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    """The text to be sourced by ``shell``."""
    commands = subcommands(parser)
    groups = [name for name, command in commands.items() if subcommands(command)]
    places = {
        place: found
        for name, command in commands.items()
        for place, found in (
            (name, command),
            *((f"{name} {action}", below) for action, below in subcommands(command).items()),
        )
    }
    words = {place: _words(found) for place, found in places.items()}
    if shell == "fish":
        return _fish(list(commands), groups, words)
    cases = "\n".join(
        f'      "{place}") offered="{" ".join(offered)}" ;;' for place, offered in words.items()
    )
    text = _BASH.format(commands=" ".join(commands), groups=" ".join(groups), cases=cases)
    return _ZSH + text if shell == "zsh" else text


def _fish(commands: list[str], groups: list[str], words: dict[str, list[str]]) -> str:
    lines = [f"complete -c ea4mpm -n __fish_use_subcommand -a '{' '.join(commands)}'"]
    for place, offered in words.items():
        only = "; and test (count (commandline -opc)) -eq 2" if place in groups else ""
        seen = f"-n '__ea4mpm_at {place}{only}'"
        for word in offered:
            option = f"-l {word[2:]}" if word.startswith("--") else f"-a {word}"
            if word == "--server":
                option += " -x -a '(__ea4mpm_servers)'"
            lines.append(f"complete -c ea4mpm {seen} {option}")
    return _FISH + "\n".join(lines) + "\n"


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """By name; empty for a command that has none."""
    for action in parser._actions:  # noqa: SLF001  # argparse has no other way to ask
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return dict(action.choices)
    return {}


def _words(parser: argparse.ArgumentParser) -> list[str]:
    found: list[str] = []
    for action in parser._actions:  # noqa: SLF001
        found += [name for name in action.option_strings if name.startswith("--")]
        found += [str(item) for item in action.choices or ()]
    return list(dict.fromkeys(found))
