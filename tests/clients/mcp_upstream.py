"""An MCP server as others write them: it knows nothing of Clearance. Prints what ran and what it was given."""

import os
import sys

from mcp.server.fastmcp import Context, FastMCP

server = FastMCP("shop")


def _note(line: str) -> None:
    with open(sys.argv[1], "a", encoding="utf-8") as out:
        out.write(line + "\n")


@server.tool()
def refund(order_id: str, amount: str, currency: str, context: Context) -> str:  # type: ignore[type-arg]
    """Refund an order."""
    extra = (context.request_context.meta.model_extra or {}) if context.request_context.meta else {}
    receipt = str(extra.get("clearance/receipt", ""))
    _note(f"refund {amount} receipt={receipt.count('.')} key={'CLEARANCE_KEY' in os.environ}")
    if order_id == "broken":
        raise RuntimeError("the gateway refused")
    if order_id == "crash":
        os._exit(1)
    return f"refunded {amount}"


@server.tool()
def lookup_order(order_id: str) -> str:
    """Look an order up."""
    _note(f"lookup {order_id}")
    return "delivered"


@server.tool()
def drop_tables() -> str:
    """Not in any policy."""
    _note("drop_tables")
    return "dropped"


if __name__ == "__main__":
    server.run()
