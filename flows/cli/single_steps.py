"""The verbs of the command `dotpipe` that do one step of a run each."""

from flows.cli.paths import ConfigPath
from flows.cli.session import parsed, show_results, tell_large_patches, tell_taken_over
from flows.cli.terminal import say
from flows.cli.watching import watched


def shard(config: ConfigPath) -> None:
    """Cut the corpora into WebDataset shards."""
    settings = parsed(config)
    tell_taken_over(settings)
    tell_large_patches(settings)
    with watched(settings, "shard"):
        from flows.shard_corpus import shard_corpus

        shard_corpus(settings)
    if settings.clean_name is not None:
        say("next: `dotpipe train CONFIG`, which trains the restorer")
    elif settings.restore is not None:
        say("next: `dotpipe restore CONFIG`, which makes the restored images")


def train(config: ConfigPath) -> None:
    """Train the restorer on shards of clean and degraded images, from where it was stopped."""
    settings = parsed(config)
    if settings.clean_name is None:
        from tasks.io.errors import ConfigurationError

        raise ConfigurationError(
            "`dotpipe train` needs a restorer that is trained, got none; write restore: {kind: "
            "residual-transport}"
        )
    with watched(settings, "train"):
        from flows.train_restorer import train_restorer

        train_restorer(settings)
    say("next: `dotpipe restore CONFIG`, which makes the restored images")


def restore(config: ConfigPath) -> None:
    """Make the restored images, from degraded ones or from clean ones that are degraded first."""
    settings = parsed(config)
    if settings.restore is None:
        from tasks.io.errors import ConfigurationError

        raise ConfigurationError(
            "`dotpipe restore` needs a section restore that says how, got none: the images of "
            "corpora.restored are restored already"
        )
    tell_large_patches(settings)
    with watched(settings, "restore"):
        from flows.restore_dataset import restore_dataset

        restore_dataset(settings)


def fit(config: ConfigPath) -> None:
    """Fit the transport operator on shards of natural and restored images."""
    settings = parsed(config, shards=True)
    tell_large_patches(settings)
    with watched(settings, "fit"):
        from flows.fit_transport import fit_transport

        fit_transport(settings)


def evaluate(config: ConfigPath) -> None:
    """Score what has not been scored yet, and show the table."""
    settings = parsed(config, shards=True)
    with watched(settings, "evaluate"):
        from flows.evaluate_dataset import evaluate_dataset

        evaluate_dataset(settings)
    show_results(settings)
