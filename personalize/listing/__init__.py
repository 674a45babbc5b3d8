"""Lists of residents: from a file to rows, and from a row to a resident or its faults."""
