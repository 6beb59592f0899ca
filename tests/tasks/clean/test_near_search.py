"""Near duplicates through collect and clean: the table that split reads, and the report."""

import hashlib
import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from tasks.__main__ import run_stage
from tasks.clean.near_duplicates.report import NearDuplicates
from tasks.clean.near_duplicates.search import NEAR_DUPLICATES, Compared, Member
from tasks.samples.tables import read_table

COLUMNS = {"id": "key", "left": "image", "right": "image", "sound": "audio", "note": "text"}


def picture(seed, side=160):
    pixels = np.random.default_rng(seed).integers(0, 255, (10, 10, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def tune(seed, gain=0.5, rate_hz=8000):
    random = np.random.default_rng(seed)
    time = np.arange(rate_hz // 5) / rate_hz
    notes = [np.sin(2 * np.pi * pitch * time) for pitch in random.uniform(300, 2500, 5)]
    file = io.BytesIO()
    soundfile.write(file, gain * np.concatenate(notes), rate_hz, format="WAV", subtype="PCM_16")
    return file.getvalue()


def note(seed, n_words=30):
    random = np.random.default_rng(seed)
    return " ".join(f"w{number}" for number in random.integers(0, 5000, n_words))


def sha(content):
    return hashlib.sha256(content if isinstance(content, bytes) else content.encode()).hexdigest()


@pytest.fixture
def found(tmp_path, settings, table):
    def run(rows, name="one", **near_duplicates):
        root = tmp_path / name
        (root / "raw").mkdir(parents=True)
        lines = [",".join(COLUMNS)]
        for key, row in enumerate(rows):
            cells = [str(key)]
            for column in list(COLUMNS)[1:]:
                content = row.get(column)
                if isinstance(content, bytes):
                    path = root / "raw" / f"{column}-{key}.bin"
                    path.write_bytes(content)
                    content = path.name
                cells.append(content or "")
            lines.append(",".join(cells))
        (root / "raw" / "rows.csv").write_text("\n".join(lines) + "\n")
        params = settings(
            table(columns=COLUMNS, id="id"),
            project={"max_bad_fraction": 1.0},
            clean={"near_duplicates": near_duplicates},
            align={"base": "rows", "inputs": ("note",), "target": "id"},
        )
        run_stage("collect", params, root)
        report = run_stage("clean", params, root)
        rows = read_table(root / "data" / "clean" / NEAR_DUPLICATES).to_pylist()
        return rows, report, root

    return run


def as_sets(rows):
    groups = {}
    for row in rows:
        groups.setdefault(row["near_group"], set()).add((row["column"], row["value"]))
    return groups


ONE = encoded(picture(1))
SMALLER = encoded(picture(1).resize((120, 120)), "JPEG", quality=60)
LONG = note(1)
CHANGED = LONG + " more"


def test_values_of_a_group_have_its_name(found):
    others = [
        {"left": encoded(picture(s)), "note": note(s), "sound": tune(s)} for s in range(10, 14)
    ]
    loud, quiet = tune(1), tune(1, gain=0.2)
    rows, report, root = found(
        [
            {"left": ONE, "note": LONG, "sound": loud},
            {"right": SMALLER, "note": CHANGED, "sound": quiet},
            *others,
        ]
    )
    assert as_sets(rows) == {
        min(sha(ONE), sha(SMALLER))[:16]: {("rows.left", sha(ONE)), ("rows.right", sha(SMALLER))},
        min(sha(loud), sha(quiet))[:16]: {("rows.sound", sha(loud)), ("rows.sound", sha(quiet))},
        min(sha(LONG), sha(CHANGED))[:16]: {("rows.note", sha(LONG)), ("rows.note", sha(CHANGED))},
    }
    assert rows == sorted(rows, key=lambda row: (row["column"], row["value"]))
    summary = {each.modality: each for each in report.near_duplicates}
    assert {name: each.groups for name, each in summary.items()} == dict.fromkeys(summary, 1)
    assert summary["image"].columns == ("rows.left", "rows.right")
    assert summary["image"].values == 6
    assert set(summary["text"].examples[0]) == {sha(LONG), sha(CHANGED)}
    assert not list((root / "data" / "clean").glob("tmp*"))
    page = (root / "reports" / "clean.html").read_text()
    assert "Near duplicates" in page
    assert page.count("2 that are nearly the same") == 3
    assert CHANGED in page


def test_one_value_in_two_columns_is_no_near_duplicate(found):
    rows, report, _ = found([{"left": ONE, "right": ONE}, {"left": ONE, "right": SMALLER}])
    assert {row["column"] for row in rows if row["value"] == sha(ONE)} == {
        "rows.left",
        "rows.right",
    }
    rows, report, _ = found([{"left": ONE, "right": ONE, "note": LONG}], name="two")
    assert rows == []
    assert all(each.groups == 0 for each in report.near_duplicates)


def test_the_same_image_beside_another_text_is_one_image(found):
    rows, _, _ = found([{"left": ONE, "note": note(1)}, {"left": ONE, "note": note(2)}])
    assert rows == []


def test_case_and_spaces_alone_make_near_duplicates_even_of_short_texts(found):
    rows, _, _ = found([{"note": "Is it even?"}, {"note": "is  it EVEN?"}, {"note": "is it odd?"}])
    assert {row["value"] for row in rows} == {sha("Is it even?"), sha("is  it EVEN?")}


def test_more_rows_and_another_order_change_no_name(found):
    base = [{"left": ONE, "note": LONG}, {"left": SMALLER, "note": CHANGED}]
    before, _, _ = found(base)
    more = [{"left": encoded(picture(s)), "note": note(s)} for s in range(20, 30)]
    after, _, _ = found([*more[:5], *base[::-1], *more[5:]], name="more")
    assert len(before) == 4
    assert after == before


def test_off_writes_an_empty_table(found):
    rows, report, _ = found(
        [{"left": ONE, "note": LONG}, {"left": SMALLER, "note": CHANGED}],
        images="off",
        texts="off",
        audio="off",
    )
    assert rows == []
    assert report.near_duplicates == ()


def test_the_settings_widen_and_narrow(found):
    pair = [{"note": note(5)}, {"note": " ".join(["x"] * 3 + note(5).split()[3:])}]
    assert found(pair, text_similarity=0.9)[0] == []
    assert len(found(pair, name="wide", text_similarity=0.6)[0]) == 2
    turned = encoded(picture(1).transpose(Image.Transpose.ROTATE_270))
    sides = [{"left": ONE}, {"left": turned}]
    assert found(sides, name="flips")[0] == []
    assert len(found(sides, name="all", symmetries="all")[0]) == 2


def test_a_medium_that_was_set_aside_is_in_no_group(found):
    broken = encoded(picture(7))[:-200]
    rows, report, _ = found([{"left": ONE, "right": broken}, {"left": SMALLER}])
    assert report.sources[0].quarantined == {"truncated": 1}
    assert rows == []


def described(n_members, n_values, modality="image", n_skipped=0):
    members = tuple(Member("rows.x", f"{i:064x}", "a") for i in range(n_members))
    return NearDuplicates.describe(Compared(modality, ("rows.x",), n_values, n_skipped, members))


def test_a_group_that_holds_much_of_all_is_told():
    (told,) = described(60, 1000).notices()
    assert "holds 60 of 1,000 values (6.0 %)" in told
    assert "clean.near_duplicates.images: off" in told
    assert list(described(40, 1000).notices()) == []
    assert list(described(2, 10).notices()) == []


def test_pairs_that_were_not_compared_are_told():
    (told,) = described(0, 1000, "text", n_skipped=1234).notices()
    assert "1,234 pairs" in told
    assert described(0, 5).line() == "rows.x: no near duplicates among 5 values"
    assert "2 of 5 values are near duplicates of others, in 1 groups" in described(2, 5).line()
