"""PromQL of this service's metrics, narrowed down to what the dashboard's variables choose."""

# The labels of the chosen targets, which each scraped series has. An empty namespace matches outside of Kubernetes.
JOB = ('namespace=~"$namespace"', 'job=~"$job"')
TARGET = (*JOB, 'instance=~"$instance"')
METHOD = 'grpc_method=~"$method"'
# The codes that are the service's fault, whatever its caller did; rules/slo.yaml counts the same ones.
FAULTS = 'grpc_code=~"Unknown|Internal|Unavailable|DataLoss|DeadlineExceeded"'
# The phases of db_client_errors_total in which there was no connection to use, or none that worked.
CONNECTING = 'phase=~"connect|ping|checkout"'
# Connections that are checked out.
USED = 'db_client_connection_state="used"'


def select(metric: str, *matchers: str) -> str:
    """Return the series of a metric that have these labels, among others."""
    return f"{metric}{{{', '.join((*TARGET, *matchers))}}}"


def rate(metric: str, *matchers: str) -> str:
    """Return how much a counter grows in a second."""
    return f"rate({select(metric, *matchers)}[$__rate_interval])"


def total(expr: str, *by: str) -> str:
    """Return the sum of an expression for each set of values of some labels, or over all."""
    return f"sum by ({', '.join(by)}) ({expr})" if by else f"sum({expr})"


def quantile(q: float, histogram: str, *matchers: str, by: tuple[str, ...] = ()) -> str:
    """Return a quantile of a histogram, named without `_bucket`, for each set of values of some labels."""
    return f"histogram_quantile({q}, {total(rate(f'{histogram}_bucket', *matchers), *by, 'le')})"


def mean(histogram: str, *matchers: str, by: tuple[str, ...] = ()) -> str:
    """Return the mean of a histogram, named without `_sum` and `_count`."""
    return (
        f"{total(rate(f'{histogram}_sum', *matchers), *by)} / {total(rate(f'{histogram}_count', *matchers), *by)}"
    )


def happened(counter: str, *matchers: str) -> str:
    """Return how often something was counted in the dashboard's time, 0 if never, and nothing without the service.

    A counter whose labels come with its first event is born with a value, of which `increase` knows nothing: what
    was not there when the time began counts as a whole.
    """
    chosen = select(counter, *matchers)
    born = f"sum({chosen} unless {chosen} offset $__range)"
    never = f"0 * sum({select('db_client_connection_max')})"
    return f"(sum(increase({chosen}[$__range])) or {never}) + ({born} or {never})"


def used_of_max(*by: str) -> str:
    """Return the used connections as a share of those that there may be, for each set of values of some labels."""
    used, there_may_be = select("db_client_connection_count", USED), select("db_client_connection_max")
    return f"{total(used, *by)} / {total(there_may_be, *by)}"
