"""What an evaluation leaves behind: tables, plots and score files."""
