"""Write what was measured: predictions, charts, the report page and the model card."""

from tasks.evaluate.gallery import exhibits
from tasks.evaluate.lineage import read_reports
from tasks.evaluate.model_card import model_card
from tasks.evaluate.page import report_page
from tasks.evaluate.plots import charts_of
from tasks.evaluate.predictions import FILE, confusion_csv, floors_csv, predictions_table
from tasks.evaluate.results import Evaluation
from tasks.params import Params
from tasks.samples.charts import Chart
from tasks.samples.folders import StageFolders, folder_digest, write_text
from tasks.samples.media import Media
from tasks.samples.schema import SampleSchema
from tasks.samples.tables import write_table


def publish(
    evaluation: Evaluation,
    schema: SampleSchema,
    media: Media,
    params: Params,
    folders: StageFolders,
) -> None:
    """Write everything a person or a program may want to read of an evaluation."""
    reports = read_reports(folders)
    digests = {name: folder_digest(folders.of(name)) for name in ("augment", "finetune")}
    charts = charts_of(evaluation, _history(folders), reports.get("align"))
    gallery = exhibits(evaluation, schema, media, params.evaluate.gallery_samples)

    write_table(predictions_table(evaluation), folders.output / FILE)
    write_charts(charts, folders)
    write_text(folders.reports / "plots" / "confusion.csv", confusion_csv(evaluation))
    write_text(folders.reports / "plots" / "floors.csv", floors_csv(evaluation))
    pages = [stage for stage in reports if (folders.reports / f"{stage}.html").is_file()]
    page = report_page(evaluation, params, charts, gallery, reports, digests, pages)
    write_text(folders.reports / "report.html", page)
    card = model_card(evaluation, schema, params, reports, digests)
    write_text(folders.reports / "model_card.md", card)


def write_charts(charts: list[Chart], folders: StageFolders) -> None:
    """Write each chart to a file, and remove those of an earlier run that are no longer drawn."""
    folder = folders.reports / "evaluate"
    for chart in charts:
        write_text(folder / f"{chart.name}.svg", chart.svg)
    drawn = {f"{chart.name}.svg" for chart in charts}
    for stale in [path for path in folder.glob("*.svg") if path.name not in drawn]:
        stale.unlink()


def _history(folders: StageFolders) -> str | None:
    path = folders.of("finetune") / "history.csv"
    return path.read_text(encoding="utf-8") if path.is_file() else None
