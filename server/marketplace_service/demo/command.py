"""The way into the demo, which knows what to say where its extra is not installed."""

from marketplace_service.demo.options import DemoError, Options


async def run(options: Options) -> None:
    """Fill a server, and print what was made; what was made before an interruption is printed too.

    Raises:
        DemoError: Faker or rich is missing, the server cannot be reached, or it refused a call.
    """
    try:
        # Here and not above: they are an extra, and no other command needs them.
        from marketplace_service.demo.filler import fill  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name not in ("faker", "rich"):
            raise
        raise DemoError(f"{error.name} is missing: pip install 'tablestakes[demo]'") from None
    await fill(options)
