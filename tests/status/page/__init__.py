"""Of the page."""
