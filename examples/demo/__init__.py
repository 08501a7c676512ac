"""The demo: starts Watchbill and the shop, releases a bad version of payments, and tells what happens."""
