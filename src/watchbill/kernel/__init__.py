"""The words everything else is built from: time, ids, durations and errors. No I/O."""
