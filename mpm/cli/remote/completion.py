"""Shell completion, made from the arguments themselves: what is not there is not offered."""

from __future__ import annotations

import argparse

SHELLS = ("bash", "zsh", "fish")

_BASH = """\
_ea4mpm() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" command="${{COMP_WORDS[1]}}" offered=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    offered="{commands}"
  else
    case "$command" in
{cases}
    esac
    if [ "$COMP_CWORD" -eq 2 ]; then
      case "$command" in
        status|plan|switch)
          offered="$offered $(ea4mpm servers --json 2>/dev/null | \\
            sed -n 's/^ *"name": "\\(.*\\)",$/\\1/p')" ;;
      esac
    fi
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
  ea4mpm servers --json 2>/dev/null | sed -n 's/^ *"name": "\\(.*\\)",$/\\1/p'
end
complete -c ea4mpm -f
complete -c ea4mpm -n '__fish_seen_subcommand_from status plan switch; \
and test (count (commandline -opc)) -eq 2' -a '(__ea4mpm_servers)'
"""


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    """The text to be sourced by ``shell``."""
    words = {name: _words(command) for name, command in _subcommands(parser).items()}
    if shell == "fish":
        return _fish(words)
    cases = "\n".join(
        f'      {name}) offered="{" ".join(offered)}" ;;' for name, offered in words.items()
    )
    text = _BASH.format(commands=" ".join(words), cases=cases)
    if shell == "zsh":
        return _ZSH + text
    return text


def _fish(words: dict[str, list[str]]) -> str:
    lines = [f"complete -c ea4mpm -n __fish_use_subcommand -a '{' '.join(words)}'"]
    for name, offered in words.items():
        seen = f"-n '__fish_seen_subcommand_from {name}'"
        for word in offered:
            option = f"-l {word[2:]}" if word.startswith("--") else f"-a {word}"
            lines.append(f"complete -c ea4mpm {seen} {option}")
    return _FISH + "\n".join(lines) + "\n"


def _subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:  # noqa: SLF001  # argparse has no other way to ask
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return dict(action.choices)
    return {}


def _words(parser: argparse.ArgumentParser) -> list[str]:
    found: list[str] = []
    for action in parser._actions:  # noqa: SLF001
        found += [name for name in action.option_strings if name.startswith("--")]
        found += [str(item) for item in action.choices or ()]
    for below in _subcommands(parser).values():
        found += _words(below)
    return list(dict.fromkeys(found))
