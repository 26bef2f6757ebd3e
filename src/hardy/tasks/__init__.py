"""One folder a task: what an answer is, how it is judged, and what is drawn of it."""
