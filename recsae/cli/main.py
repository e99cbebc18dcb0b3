"""The command `recsae`: one table of commands, each module loaded only when its command runs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from recsae.text.sanitize import plain

COMMANDS = {
    "run": ("run", "Run every stage and serve the result; without --config, the demo."),
    "stage": ("run", "Run one stage; its inputs must be committed."),
    "publish": ("run", "Serve what the stages have committed, if the gate lets it through."),
    "submit": ("submit", "Submit the stages in order, each as a Ray job of its own."),
    "status": ("status", "Print the state of a run and the command to run next."),
    "show": ("show", "Print the served dictionary, or one latent, item or user."),
    "explain": ("explain", "Explain recommendations as sums over latents."),
    "recommend": ("recommend", "Write recommendations, clean or under a steering policy."),
    "tune": ("tune", "Search for a steering policy and measure it on other users."),
    "survey": ("survey", "Ask people: write a blind form, count their answers."),
    "compare": ("compare", "Set several runs side by side, as a page and a table."),
    "export": ("export", "Write the SAE in the format of SAELens or sparsify."),
    "plant": ("plant", "Write a planted catalogue of any size."),
    "config": ("config", "Check a config, show every key, or print the JSON Schema."),
    "model": ("model", "Print where the language model lies; fetch the embedded one."),
    "version": ("version", "Print the version."),
}
"""By name the module in recsae/cli that holds the command, as a function of that name, and its line of help."""


class CommandTable(click.Group):
    """The commands of COMMANDS; help and completion of their names read the table alone."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, line = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"recsae.cli.{module}"), cmd_name)
        command.help = command.help or line
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name, help=line) for name, (_, line) in COMMANDS.items() if name.startswith(incomplete)]


TABLE = CommandTable(
    "recsae",
    help="Concept dictionaries of recommender models, by sparse autoencoders on Ray.",
    epilog="`recsae COMMAND --help` lists the options of a command.",
)


def main(words: Sequence[str] = ()) -> None:
    """Run `recsae` with `words` before what stands on the command line; what does not parse ends in one sentence and
    status 2."""
    try:
        TABLE.main([*words, *sys.argv[1:]], "recsae", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        sys.exit(2)
    except click.UsageError as error:
        _refuse(error)
    except click.Abort:
        print("recsae: interrupted", file=sys.stderr)
        sys.exit(130)


def _refuse(error: click.UsageError) -> NoReturn:
    message = plain(" ".join(error.format_message().split()).rstrip(".?")).replace(". Did you", "; did you")
    command = error.ctx.command_path if error.ctx else "recsae"
    print(f"recsae: {message[:1].lower()}{message[1:]}; see `{command} --help`", file=sys.stderr)
    sys.exit(2)
