"""What others have read of logs: how far, what is kept for them, and what they have missed."""
