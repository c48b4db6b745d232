"""Making of rows and panels what Grafana reads, with Grafana's own builders.

It is the classic model and not v2, which the library prefers: this one every Grafana reads from a file.
"""

import json
from collections.abc import Iterable, Iterator

from grafana_foundation_sdk.builders import common, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from k8s.monitoring.dashboard.panel import Panel, Query, Row

DATASOURCE = options.DataSourceRef(type_val="prometheus", uid="${datasource}")
# Each list is narrowed down by what is chosen before it.
VARIABLES = {
    "namespace": "tablestakes_build_info",
    "job": 'tablestakes_build_info{namespace=~"$namespace"}',
    "instance": 'tablestakes_build_info{namespace=~"$namespace", job=~"$job"}',
    "method": 'grpc_server_started_total{namespace=~"$namespace", job=~"$job"}',
}
# The label that a variable chooses, where that is not its name.
LABELS = {"method": "grpc_method"}
HEIGHTS = {"curve": 8, "figure": 5, "table": 8}


def draw(rows: Iterable[Row]) -> str:
    """Return the dashboard as the JSON that Grafana reads."""
    dashboard = (
        build.Dashboard("Tablestakes")
        .uid("tablestakes")
        .description("RPCs, statements, the connection pool and the process of Tablestakes.")
        .tags(["tablestakes", "grpc", "database"])
        # It is made of files, and what is edited in Grafana would be lost with the next of them.
        .readonly()
        .timezone("browser")
        .time("now-1h", "now")
        .refresh("30s")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .with_variable(build.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for name, series in VARIABLES.items():
        dashboard.with_variable(_variable(name, f"label_values({series}, {LABELS.get(name, name)})"))
    number = 0
    for row in rows:
        number += 1
        dashboard.with_row(build.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            dashboard.with_panel(_panel(panel, number))
    return json.dumps(dashboard.build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _variable(name: str, query: str) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .label(name.capitalize())
        .datasource(DATASOURCE)
        .query(query)
        .definition(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        # Not the list of all there is, which may be long. Outside of Kubernetes nothing has a namespace.
        .all_value(".*" if name == "namespace" else ".+")
        .current(model.VariableOption(selected=True, text="All", value="$__all"))
    )


def _panel(panel: Panel, number: int) -> Builder[model.Panel]:
    made: timeseries.Panel | stat.Panel | table.Panel
    match panel.kind:
        case "curve":
            made = _curve(panel)
        case "figure":
            made = (
                stat.Panel()
                .graph_mode(options.BigValueGraphMode.AREA)
                .color_mode(options.BigValueColorMode.BACKGROUND)
                .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
            )
        case "table":
            made = table.Panel().with_transformation(
                model.DataTransformerConfig("organize", options={"excludeByName": {"Time": True}})
            )
    made.id(number).title(panel.title).description(panel.description).datasource(DATASOURCE).unit(panel.unit)
    made.span(panel.width).height(HEIGHTS[panel.kind])
    made.thresholds(build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(list(_steps(panel))))
    if panel.top is not None:
        made.max(panel.top)
    if panel.decimals is not None:
        made.decimals(panel.decimals)
    for letter, query in zip("ABCDEFGH", panel.queries, strict=False):
        made.with_target(_query(query, letter, panel))
    return made


def _curve(panel: Panel) -> timeseries.Panel:
    mode = options.StackingMode.NORMAL if panel.stacked else options.StackingMode.NONE
    made = (
        timeseries.Panel()
        .min(0)
        .line_width(1)
        .fill_opacity(20 if panel.stacked else 0)
        .stacking(common.StackingConfig().group("A").mode(mode))
        .show_points(options.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(options.LegendDisplayMode.TABLE)
            .placement(options.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["mean", "max"])
            .sort_by("Max")
            .sort_desc(True)
        )
        .tooltip(
            common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING)
        )
    )
    if panel.red_from is not None:
        made.thresholds_style(common.GraphThresholdsStyleConfig().mode(options.GraphThresholdsStyleMode.LINE))
    return made


def _steps(panel: Panel) -> Iterator[model.Threshold]:
    yield model.Threshold(None, "green")
    if panel.red_from is not None:
        yield model.Threshold(panel.red_from, "red")


def _query(query: Query, letter: str, panel: Panel) -> Dataquery:
    made = Dataquery().ref_id(letter).datasource(DATASOURCE).expr(query.expr).legend_format(query.legend)
    if panel.kind == "table":
        return made.instant().format(PromQueryFormat.TABLE)
    # A query over the whole time that is shown has one value, at its end.
    return made.instant() if "$__range" in query.expr else made.range()
