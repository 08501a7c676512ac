"""One module for each framework and client library. Import the one you use; its extra brings the library."""
