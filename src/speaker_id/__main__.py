"""`python -m speaker_id` is the `speaker-id` command."""

from speaker_id.cli import main

main()
